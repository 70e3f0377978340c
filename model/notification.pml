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

/* A reminder of the second grant that an operator sends by hand: src/jobs/reminder.ts. It is another message. */
byte byHand;
bool acceptedByHand;
bool readNone; /* its INSERT has read that it has no row yet */
byte rowsByHand;
bool triedAgain;
bool diedByHand;

#define ASKED 1 /* the service has accepted it; recordReminder sent */
#define HAS_READ 2
#define RECORDED 3
#define byHandIsQuiet (byHand != ASKED && byHand != HAS_READ)

/* What the client of each run knows, whatever its session. */
byte due[3]; /* reminders left to send, as bits */
byte grant[3]; /* the one that it is at */
byte resent[3];

#define CHECK_LEASE 21 /* checkLease sent */
#define SEND 22 /* this and the next one are the client's own */
#define WAIT 23
#define TAKE_ROW 24 /* recordNotification sent */
#define READ_RECORDS 25
#define INSERT_RECORD 26
#define COMMIT_RECORD 27
#define RECORD_ANSWER 28

#define isWorkAnswer(s) (s == RECORD_ANSWER)
#define workReadsOnly(s) (s == CHECK_LEASE)
#define isClientStep(s) (s == SEND || s == WAIT)
/* Each statement is done again by itself. */
#define restartOfWork(s) (s <= CHECK_LEASE -> s : TAKE_ROW)
#define workIsQuiet (underWay[0] == 0 && underWay[1] == 0 && byHandIsQuiet)

#define bit(n) (1 << (n))

#include "jobRun.pml"

inline forgetWork() { recording[me] = 0; toRecord[me] = 0; writes = false }
inline handOver() { toRecord[me + 1] = (step[me + 1] == TAKE_ROW -> grant[own] : 0) }
inline forgetRun() { due[own] = 0; grant[own] = 0; resent[own] = 0 }

#define isDue(g) (records[g] == 0 && !(g == 0 && renewed))
#define isRecording(g) (recording[1] == g + 1 || recording[2] == g + 1 || recording[3] == g + 1 || recording[4] == g + 1)

/* Continues with the next reminder that was collected, or else with finishRun. */
inline sendNext() {
  resent[own] = 0;
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

#define operationId(r) (((mutant(NO_SAME_OPERATION_ID) && resent[r]) || (mutant(NO_REMINDER_IN_ID) && reworded)) -> 1 : 0)
#define isAccepted(r) ((accepted[grant[r]] & bit(operationId(r))) != 0)

inline client_sends() {
  d_step {
    step[me] == SEND && heard ->
    printf("run %d sends message %d under operation id %d\n", own + 1, grant[own] + 1, operationId(own) + 1);
    underWay[grant[own]] = underWay[grant[own]] | (isAccepted(own) -> 0 : bit(operationId(own)));
    step[me] = WAIT
  }
}

/* The request never reaches the service, or is refused. */
inline client_sendsInVain() {
  d_step {
    step[me] == SEND && heard && own != LAST ->
    printf("run %d sends message %d, which the service never accepts\n", own + 1, grant[own] + 1);
    step[me] = WAIT
  }
}

inline client_hearsAccepted() {
  d_step {
    step[me] == WAIT && heard && isAccepted(own) ->
    printf("run %d hears that message %d is accepted\n", own + 1, grant[own] + 1);
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
    step[me] == WAIT && heard && own != LAST && grant[own] == 0 && !resent[own] && !isAccepted(own) && !mutant(NO_SETTLING) ->
    printf("run %d loses the answer; the service does not know message %d\n", own + 1, grant[own] + 1);
    resent[own] = 1;
    step[me] = CHECK_LEASE
  }
}

inline client_doesNotSettle() {
  d_step {
    step[me] == WAIT && heard && mutant(NO_SETTLING) ->
    printf("run %d loses the answer and takes message %d for accepted\n", own + 1, grant[own] + 1);
    toRecord[me] = grant[own];
    step[me] = TAKE_ROW
  }
}

/* Refused, or the service cannot be asked, or still does not know it. */
inline client_leavesToNextRun() {
  d_step {
    step[me] == WAIT && heard && own != LAST ->
    printf("run %d leaves message %d to the next run\n", own + 1, grant[own] + 1);
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
    step[me] = READ_RECORDS
  }
}

/* INSERT ... WHERE NOT EXISTS (a notification of that grant since it has been due): what it reads. */
inline recordNotification_read() {
  d_step {
    step[me] == READ_RECORDS && !(LOCKING_READS && isRecording(toRecord[me])) ->
    writes = records[toRecord[me]] == 0 || mutant(NO_CHECK_IN_RECORD);
    if
    :: writes -> SAY("recordNotification: INSERT reads that there is no notification")
    :: else -> SAY("recordNotification: INSERT reads that there is a notification")
    fi;
    step[me] = INSERT_RECORD
  }
}

/* INSERT ...: what it writes; and UPDATE the own row SET Processed_Count = Processed_Count + the rows inserted. */
inline recordNotification_insert() {
  d_step {
    step[me] == INSERT_RECORD ->
    if
    :: writes -> SAY("recordNotification: INSERT writes a notification, UPDATE counts it"); recording[me] = toRecord[me] + 1; newCount[own]++
    :: else -> SAY("recordNotification: INSERT writes nothing")
    fi;
    writes = false;
    toRecord[me] = 0;
    step[me] = COMMIT_RECORD
  }
}

#define recorded (recording[me] - 1)

inline recordNotification_commit() {
  d_step {
    step[me] == COMMIT_RECORD ->
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
    answer(RECORD_ANSWER)
  }
}

/* SELECT Status of the own row, after the COMMIT. */
inline recordNotification_answer() {
  d_step {
    step[me] == RECORD_ANSWER && heard && !(LOCKING_READS && lockedByOther(own)) ->
    if
    :: isInProgress(own) -> SAY("recordNotification: recorded"); sendNext()
    :: else -> SAY("recordNotification: recorded, but the lock is lost"); forgetRun(); step[me] = FINISH
    fi
  }
}

/* ---- A reminder by hand: it takes no lock ---- */

/* No message about the grant is recorded of the last ten minutes; the service accepts it. */
inline operator_sends() {
  d_step {
    BY_HAND && !quiet && byHand == 0 && records[1] == 0 ->
    printf("the operator sends message 2 by hand, and the service accepts it\n");
    acceptedByHand = true;
    byHand = ASKED
  }
}

/* INSERT ... WHERE NOT EXISTS (a row of its own since): what it reads. */
inline recordReminder_read() {
  d_step {
    byHand == ASKED ->
    readNone = rowsByHand == 0 || mutant(NO_CHECK_IN_REMINDER);
    printf("the operator's recordReminder has read\n");
    byHand = HAS_READ
  }
}

inline recordReminder_commit() {
  d_step {
    byHand == HAS_READ ->
    if
    :: readNone ->
      printf("the operator's recordReminder writes a notification\n");
      mustHold(acceptedByHand, recordedIsAccepted);
      mustHold(rowsByHand == 0, recordedOnce);
      rowsByHand++;
      records[1]++
    :: else -> printf("the operator's recordReminder writes nothing\n")
    fi;
    readNone = false;
    byHand = RECORDED
  }
}

/* The answer is lost, and it is done again. */
inline operator_triesAgain() {
  d_step {
    byHand == RECORDED && !triedAgain && !quiet ->
    printf("the operator's answer is lost\n");
    triedAgain = true;
    byHand = ASKED
  }
}

inline operator_dies() {
  d_step {
    byHand == ASKED && rowsByHand == 0 ->
    printf("the operator's process dies before it has recorded\n");
    diedByHand = true;
    byHand = RECORDED;
    triedAgain = true
  }
}

/* ---- The site's own system ---- */

/* Earlier is of no interest: a run that does not find the reminder due does what one does that dies before it. */
inline renewGrant() {
  d_step { quiet && step[LAST_SESSION] == CLOSE_STALE && !renewed -> printf("the first grant has been renewed\n"); renewed = true }
}

/* Earlier is of no interest, as with a renewal. */
inline rewordMessages() {
  d_step { quiet && step[LAST_SESSION] == CLOSE_STALE && !reworded -> printf("the messages look different from now on\n"); reworded = true }
}

inline checkAtRest() {
  mustHold(accepted[0] == 0 || records[0] != 0 || (renewed && !limit(RECORDED_AFTER_RENEWAL)), acceptedIsRecorded);
  mustHold(accepted[1] == 0 || records[1] != 0, acceptedIsRecorded);
  mustHold(!acceptedByHand || rowsByHand != 0 || (diedByHand && !limit(RECORDED_BY_HAND)), acceptedIsRecorded)
}

proctype Session(byte me; byte own) {
  bool writes; /* what its INSERT has read */

  do
  :: acquireLock_closeStale()
  :: acquireLock_check()
  :: acquireLock_insert()
  :: acquireLock_commit()
  :: findActiveRun()
  :: collectDueReminders()
  :: checkLease()
  :: client_sends()
  :: client_sendsInVain()
  :: client_hearsAccepted()
  :: client_settles()
  :: client_doesNotSettle()
  :: client_leavesToNextRun()
  :: recordNotification_takeRow()
  :: recordNotification_read()
  :: recordNotification_insert()
  :: recordNotification_commit()
  :: recordNotification_answer()
  :: finishRun()
  :: finishRun_answer()
  :: client_retries()
  :: client_dies()
  :: session_dies()
  :: done -> break
  od
}

proctype World() {
  do
  :: leaseRunsOut(0)
  :: leaseRunsOut(1)
  :: cancelRun(0)
  :: cancelRun(1)
  :: renewGrant()
  :: rewordMessages()
  :: operator_sends()
  :: recordReminder_read()
  :: recordReminder_commit()
  :: operator_triesAgain()
  :: operator_dies()
  :: service_accepts(0, 0)
  :: service_accepts(0, 1)
  :: service_accepts(1, 0)
  :: service_accepts(1, 1)
  :: lastRun_begins()
  :: lastRun_ends() -> break
  od
}
