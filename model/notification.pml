/*
 * A notification job: src/jobs/notification.ts. Two grants of two people, so two messages a run, sent one after the other;
 * the first grant may be renewed: then its reminder is no longer due.
 */
bool renewed; /* the first grant */
bool reworded; /* the messages look different: another setting, another version of the app, a renamed person */

/* The email service: operation ids as bits; the id is that of the reminder, so there is one of each message. */
byte underWay[2]; /* requests to send that have not reached the service; they may do so late, or never */
byte accepted[2];

/* The notification table: committed rows of each grant. */
byte records[2];
byte recordedBy[2]; /* the runs that have written one, as bits */

byte toRecord[6]; /* the grant that each session's recordNotification is for */
byte recording[6]; /* what each session has inserted and not committed: grant + 1; 0: nothing */

/* What the client of each run knows, whatever its session. */
byte due[3]; /* reminders left to send, as bits */
byte grant[3]; /* the one that it is at */
bool resent[3];

/* Each statement is done again by itself. */
#define restartOfWork(s) ((s == COLLECT || s == CHECK_LEASE) -> s : TAKE_ROW)
#define workIsQuiet (underWay[0] == 0 && underWay[1] == 0)

#include "jobRun.pml"

#define bit(n) (1 << (n))
#define isDue(g) (records[g] == 0 && !(g == 0 && renewed))
#define isRecording(g) (recording[1] == g + 1 || recording[2] == g + 1 || recording[3] == g + 1 || recording[4] == g + 1)

inline forgetWork() { recording[me] = 0; toRecord[me] = 0; writes = false }
inline handOver() { toRecord[me + 1] = (step[me + 1] == TAKE_ROW -> grant[own] : 0) }
inline forgetRun() { due[own] = 0; grant[own] = 0; resent[own] = false }

/* Continues with the next reminder that was collected, or else with finishRun. */
inline sendNext() {
  resent[own] = false;
  if
  :: due[own] == 0 -> grant[own] = 0; step[me] = FINISH
  :: else -> grant[own] = ((due[own] & bit(0)) -> 0 : 1); due[own] = due[own] & ~bit(grant[own]); step[me] = CHECK_LEASE
  fi
}

/* collectDueReminders and readDueReminders: what is due and has no notification since. */
inline collectDueReminders() {
  d_step {
    step[me] == COLLECT && heard && !(LOCKING_READS && (isRecording(0) || isRecording(1))) ->
    SAY("collectDueReminders");
    due[own] = isDue(0) * bit(0) + isDue(1) * bit(1);
    sendNext()
  }
}

/* SELECT the own row WHERE Status = 'InProgress' AND it is not stale, by the database's clock. */
inline checkLease() {
  d_step {
    step[me] == CHECK_LEASE && heard && !(LOCKING_READS && lockedByOther(own)) ->
    if
    :: isFresh(own) -> SAY("checkLease: held"); step[me] = SEND
    :: else -> SAY("checkLease: lost"); forgetRun(); step[me] = FINISH
    fi
  }
}

/* ---- The message: src/email/emailClient.ts ---- */

#define changesId(r) ((mutant(NO_SAME_OPERATION_ID) && resent[r]) || (mutant(NO_REMINDER_IN_ID) && reworded))
#define operationId(r) (changesId(r) -> 1 : 0)
#define isAccepted(r) ((accepted[grant[r]] & bit(operationId(r))) != 0)

inline client_sends() {
  d_step {
    step[me] == SEND && heard ->
    SAY("sends message %d under operation id %d", grant[own] + 1, operationId(own) + 1);
    underWay[grant[own]] = underWay[grant[own]] | (isAccepted(own) -> 0 : bit(operationId(own)));
    step[me] = WAIT
  }
}

/* The request never reaches the service, or is refused. */
inline client_sendsInVain() {
  d_step {
    step[me] == SEND && heard && own != LAST ->
    SAY("sends message %d, which the service never accepts", grant[own] + 1);
    step[me] = WAIT
  }
}

/* The mutant takes any message for accepted. */
inline client_hearsAccepted() {
  d_step {
    step[me] == WAIT && heard && (isAccepted(own) || mutant(NO_SETTLING)) ->
    SAY("takes message %d for accepted", grant[own] + 1);
    toRecord[me] = grant[own];
    step[me] = TAKE_ROW
  }
}

/*
 * The answer is lost, and the service is asked for the operation's status. Accepted is as if it had been heard; if the
 * service knows nothing of it, the message goes out once more, as checkLease allows. One message a run, the first one.
 */
inline client_settles() {
  d_step {
    step[me] == WAIT && heard && own != LAST && grant[own] == 0 && !resent[own] && !isAccepted(own) ->
    SAY("the answer is lost; the service does not know message %d", grant[own] + 1);
    resent[own] = true;
    step[me] = CHECK_LEASE
  }
}

/* Refused, or the service cannot be asked, or still does not know it. */
inline client_leavesToNextRun() {
  d_step {
    step[me] == WAIT && heard && own != LAST ->
    SAY("leaves message %d to the next run", grant[own] + 1);
    sendNext()
  }
}

inline service_accepts(g, id) {
  d_step {
    (underWay[g] & bit(id)) != 0 ->
    printf("the service accepts message %d under operation id %d\n", g + 1, id + 1);
    underWay[g] = underWay[g] & ~bit(id);
    accepted[g] = accepted[g] | bit(id);
    mustHold(accepted[g] == bit(id), sameOperationId)
  }
}

/* ---- recordNotification: one transaction, whether or not the run has its lock ---- */

/* UPDATE the own row: takes its lock. */
inline recordNotification_takeRow() {
  d_step {
    step[me] == TAKE_ROW && !lockedByOther(own) ->
    SAY("recordNotification: UPDATE takes its row");
    lockRow(own);
    step[me] = READ
  }
}

/* INSERT ... WHERE NOT EXISTS (a notification of that grant since it has been due): what it reads. */
inline recordNotification_read() {
  d_step {
    step[me] == READ && !(LOCKING_READS && isRecording(toRecord[me])) ->
    writes = records[toRecord[me]] == 0 || mutant(NO_CHECK_IN_RECORD);
    SAY("recordNotification: INSERT reads; notifications to write: %d", writes);
    step[me] = INSERT
  }
}

/* INSERT ...: what it writes; and UPDATE the own row SET Processed_Count = Processed_Count + the rows inserted. */
inline recordNotification_insert() {
  d_step {
    step[me] == INSERT ->
    SAY("recordNotification: INSERT writes, and UPDATE counts: %d", writes);
    recording[me] = (writes -> toRecord[me] + 1 : 0);
    newCount[own] = newCount[own] + writes;
    writes = false;
    toRecord[me] = 0;
    step[me] = COMMIT
  }
}

#define recorded (recording[me] - 1)

inline recordNotification_commit() {
  d_step {
    step[me] == COMMIT ->
    SAY("recordNotification: COMMIT");
    if
    :: recording[me] != 0 ->
      mustHold(accepted[recorded] != 0, recordedIsAccepted);
      mustHold((recordedBy[recorded] & bit(own)) == 0, recordedOnce);
      mustHold(records[recorded] == 0 || !limit(ONE_ROW_FOR_TWO_RUNS), recordedOnce);
      records[recorded]++;
      recordedBy[recorded] = recordedBy[recorded] | bit(own);
      rowsWritten[own]++;
      recording[me] = 0
    :: else
    fi;
    commitRows();
    answer(WORK_ANSWER)
  }
}

/* SELECT Status of the own row, after the COMMIT. */
inline recordNotification_answer() {
  d_step {
    step[me] == WORK_ANSWER && heard && !(LOCKING_READS && lockedByOther(own)) ->
    if
    :: isInProgress(own) -> SAY("recordNotification: recorded"); sendNext()
    :: else -> SAY("recordNotification: recorded, but the lock is lost"); forgetRun(); step[me] = FINISH
    fi
  }
}

/* ---- The site's own system. Earlier, a run that does not find a reminder due is like one that dies before it. ---- */

#define lastRunStarts (quiet && step[LAST_SESSION] == CLOSE_STALE)

inline renewGrant() {
  d_step { lastRunStarts && !renewed -> printf("the first grant has been renewed\n"); renewed = true }
}

inline rewordMessages() {
  d_step { lastRunStarts && !reworded -> printf("the messages look different from now on\n"); reworded = true }
}

inline checkAtRest() {
  mustHold(accepted[0] == 0 || records[0] != 0 || (renewed && !limit(RECORDED_AFTER_RENEWAL)), acceptedIsRecorded);
  mustHold(accepted[1] == 0 || records[1] != 0, acceptedIsRecorded)
}

proctype Session(byte me; byte own) {
  bool writes; /* what its INSERT has read */
  do
  RUN_STEPS
  :: collectDueReminders() :: checkLease()
  :: client_sends() :: client_sendsInVain() :: client_hearsAccepted() :: client_settles() :: client_leavesToNextRun()
  :: recordNotification_takeRow() :: recordNotification_read() :: recordNotification_insert()
  :: recordNotification_commit() :: recordNotification_answer()
  od
}

proctype World() {
  do
  WORLD_STEPS
  :: renewGrant() :: rewordMessages()
  :: service_accepts(0, 0) :: service_accepts(0, 1) :: service_accepts(1, 0) :: service_accepts(1, 1)
  od
}
