/*
 * The lock of a job type: the row of dbo.JobRun that is in progress. Shared by revocation.pml and notification.pml.
 * docs/protocol.md says in words what is modelled and what is not, and how to change the model together with the SQL.
 *
 * There are two runs of one job type, with two sessions each: the client of a run leaves its first session at any point
 * and retries on the second one, while the first one is still at work on the server; or it dies. When all is quiet, a
 * last run follows, which nothing disturbs.
 *
 * Every rule is one indivisible step of one session, named after the statement in src/ that it belongs to and what that
 * statement does there. A rule can take its step whenever its guard (what is before the first ->) holds; the checker
 * tries every order. A statement that waits for a row's lock is a guard that does not hold yet.
 *
 * Switches:
 *   -DLOCKING_READS=1   READ COMMITTED without row versioning: a plain read waits for rows that another transaction has
 *                       changed. By default it reads what was committed when its statement began.
 *   -DHONOUR_HINTS=1    UPDLOCK and HOLDLOCK do what they say. By default the server ignores them.
 *   -DRUNS=1            one run before the last one, instead of two.
 *   -DBY_HAND=1         an operator sends a reminder by hand beside the runs (notification.pml).
 *   -DMUTANT=NO_...     takes one safeguard out of the protocol, to see that the checker finds out.
 *   -DLIMIT=...         asks for more than the protocol promises, to see where the promise ends.
 */

#ifndef LOCKING_READS
#define LOCKING_READS 0
#endif
#ifndef HONOUR_HINTS
#define HONOUR_HINTS 0
#endif
#ifndef RUNS
#define RUNS 2
#endif
#ifndef BY_HAND
#define BY_HAND 0
#endif
#ifndef MUTANT
#define MUTANT 0
#endif
#define mutant(name) (MUTANT == name)
#define NO_STALE_CLOSE 1
#define NO_UNIQUE_INDEX 2
#define NO_STATUS_IN_FINISH 3
#define NO_OWN_ROW_UPDATE 4
#define NO_FENCE_BUT_HINTS 5
#define NO_CHECK_IN_BATCH 6
#define NO_END_IN_CHECK 7
#define NO_VIEW_IN_BATCH 8
#define NO_COUNT_IN_TRANSACTION 9
#define NO_CHECK_IN_RECORD 10
#define NO_SAME_OPERATION_ID 11
#define NO_SETTLING 12
#define NO_STATUS_IN_FENCE 13
#define NO_ATTEMPT_LIMIT 14
#define NO_NOW_IN_BATCH 15
#define NO_REMINDER_IN_ID 16
#define NO_CHECK_IN_REMINDER 17

#ifndef LIMIT
#define LIMIT 0
#endif
#define limit(name) (LIMIT == name)
#define ONE_ROW_FOR_TWO_RUNS 1
#define RECORDED_AFTER_RENEWAL 2
#define RECORDED_BY_HAND 3

/* What must hold. scripts/model.ts has it in words. */
mtype = {
  oneRunInProgress, endedRunStays, lockCanBeTaken, countIsRows,
  lostLockWritesNothing, oneRevocation,
  acceptedIsRecorded, recordedIsAccepted, recordedOnce, sameOperationId
};

#define LAST 2 /* the last run, after the runs 0 and 1 */
#define LAST_SESSION 5 /* after 1 and 2 of run 0, 3 and 4 of run 1 */

/* JobRun.Status. Completed and Failed are the same to the lock. */
#define NO_ROW 0
#define IN_PROGRESS 1
#define ENDED 2

/* The rows of JobRun, one a run: as committed, and as the transaction that has changed the row sees it. */
byte status[3];
byte count[3]; /* Processed_Count */
byte newStatus[3];
byte newCount[3];
byte rowLock[3]; /* the session that holds the row's lock until its transaction ends; 0: none */
bool stale[3]; /* the lease has run out, or the row is dated more than a minute ahead */

/* Not in the database: the committed rows that each run wrote. */
byte rowsWritten[3];

byte step[6]; /* what each session does next, below */
byte listening[3]; /* the session whose answers the run's client waits for; 0: the client has ended or died */
bool begun; /* run 0 has begun; run 1 never begins before it: which of them is called 0 makes no difference */
bool quiet; /* the last run has begun: nothing disturbs it */
bool done; /* the last run has ended */

byte i; /* 0 between two steps */

/* Steps. "Sent": the client has sent the batch, the server has not begun with it. */
#define IDLE 0
#define CLOSE_STALE 1 /* acquireLock sent */
#define CHECK_FRESH 2
#define INSERT_RUN 3
#define COMMIT_LOCK 4
#define FIND_ACTIVE 5 /* findActiveRun */
#define FINISH 10 /* finishRun sent */
#define FINISH_ANSWER 11
#define COLLECT 20 /* the first step of the job's own work */
#define GONE 99

#define lockedByOther(row) (rowLock[row] != 0 && rowLock[row] != me)
/* What the session's own transaction has done is visible to it, and what others have committed. */
#define sees(row) (rowLock[row] == me -> newStatus[row] : status[row])
#define inAnyRow(condition) (condition(0) || condition(1) || condition(2))
#define heard (listening[own] == me)

#define SAY(text) printf("run %d, session %d: ", own + 1, 2 - me % 2); printf(text); printf("\n")

inline mustHold(condition, invariant) {
  if
  :: (condition)
  :: else -> printf("BROKEN %e\n", invariant); assert(false)
  fi
}

/* An answer reaches only a client that still listens. */
inline answer(next) {
  if
  :: heard -> step[me] = next
  :: else -> endSession()
  fi
}

inline endSession() { step[me] = GONE; forgetWork() }
inline endClient() { listening[own] = 0; forgetRun(); endSession() }

inline lockRow(row) {
  if
  :: rowLock[row] == 0 -> rowLock[row] = me; newStatus[row] = status[row]; newCount[row] = count[row]
  :: else
  fi
}

inline unlockRow(row) { rowLock[row] = 0; newStatus[row] = 0; newCount[row] = 0 }

inline setStatus(row, value) { status[row] = value; stale[row] = stale[row] && value == IN_PROGRESS }

inline commitRows() {
  for (i : 0 .. LAST) {
    if
    :: rowLock[i] == me -> setStatus(i, newStatus[i]); count[i] = newCount[i]; unlockRow(i)
    :: else
    fi
  };
  i = 0;
  mustHold((status[0] == IN_PROGRESS) + (status[1] == IN_PROGRESS) + (status[2] == IN_PROGRESS) <= 1, oneRunInProgress);
  mustHold(count[own] == rowsWritten[own], countIsRows)
}

inline rollBackRows() {
  for (i : 0 .. LAST) {
    if
    :: rowLock[i] == me -> unlockRow(i)
    :: else
    fi
  };
  i = 0
}

/* ---- acquireLock: one transaction ---- */

#define isStale(row) (status[row] == IN_PROGRESS && stale[row])
#define waitsToClose(row) (isStale(row) && lockedByOther(row))
#define isFresh(row) (sees(row) == IN_PROGRESS && !stale[row])
/* Another transaction adds a row in progress or ends one, and has not ended itself. */
#define keyChanges(row) (lockedByOther(row) && newStatus[row] != status[row])
#define inTheWay(row) (row != own && sees(row) == IN_PROGRESS)

/*
 * UPDATE ... SET Status = 'Failed' WHERE Status = 'InProgress', of the row that a read of the lock's index found stale.
 * Between the two the row can only end, and then nothing is closed.
 */
inline acquireLock_closeStale() {
  d_step {
    step[me] == CLOSE_STALE && !inAnyRow(waitsToClose) ->
    if
    :: inAnyRow(isStale) && !mutant(NO_STALE_CLOSE) ->
      SAY("acquireLock: UPDATE closes a stale row");
      for (i : 0 .. LAST) {
        if
        :: isStale(i) -> lockRow(i); newStatus[i] = ENDED
        :: else
        fi
      };
      i = 0
    :: else -> SAY("acquireLock: UPDATE closes nothing")
    fi;
    step[me] = CHECK_FRESH
  }
}

/* INSERT ... WHERE NOT EXISTS (a fresh row in progress): what the statement reads. */
inline acquireLock_check() {
  d_step {
    step[me] == CHECK_FRESH && !((HONOUR_HINTS || LOCKING_READS) && inAnyRow(keyChanges)) ->
    if
    :: inAnyRow(isFresh) -> SAY("acquireLock: INSERT sees a fresh row in progress"); step[me] = COMMIT_LOCK
    :: else -> SAY("acquireLock: INSERT sees no fresh row in progress"); step[me] = INSERT_RUN
    fi
  }
}

/*
 * INSERT ...: what the statement writes. UQ_JobRun_Job_Id allows one row a run, UX_JobRun_Job_Type_InProgress one row in
 * progress. The duplicate of a key that another transaction adds or removes waits for that transaction's end.
 */
inline acquireLock_insert() {
  d_step {
    step[me] == INSERT_RUN && (begun || own == 0) && !lockedByOther(own) && (mutant(NO_UNIQUE_INDEX) || !inAnyRow(keyChanges)) ->
    if
    :: status[own] != NO_ROW || (!mutant(NO_UNIQUE_INDEX) && inAnyRow(inTheWay)) ->
      SAY("acquireLock: INSERT fails with a duplicate key, rolled back");
      rollBackRows();
      answer(FIND_ACTIVE)
    :: else ->
      SAY("acquireLock: INSERT writes its row");
      lockRow(own);
      newStatus[own] = IN_PROGRESS;
      begun = true;
      step[me] = COMMIT_LOCK
    fi
  }
}

inline acquireLock_commit() {
  d_step { step[me] == COMMIT_LOCK -> SAY("acquireLock: COMMIT"); commitRows(); answer(FIND_ACTIVE) }
}

#define isInProgress(row) (status[row] == IN_PROGRESS)

/*
 * SELECT the row in progress, at the end of acquireLock or, after a duplicate key, as findActiveRun. One's own is
 * acquired, also by an earlier try whose answer was lost.
 */
inline findActiveRun() {
  d_step {
    step[me] == FIND_ACTIVE && heard && !(LOCKING_READS && inAnyRow(keyChanges)) ->
    if
    :: isInProgress(own) -> SAY("findActiveRun: its own, acquired"); step[me] = COLLECT
    :: !isInProgress(own) && inAnyRow(isInProgress) ->
      SAY("findActiveRun: another, held");
      mustHold(own != LAST, lockCanBeTaken);
      endClient()
    :: !inAnyRow(isInProgress) && status[own] == ENDED && !mutant(NO_ATTEMPT_LIMIT) ->
      /* Each further attempt would be the same: acquireLock makes five, then it is an error. */
      SAY("findActiveRun: none, its own has ended");
      endClient()
    :: else -> SAY("findActiveRun: none, once more"); step[me] = CLOSE_STALE
    fi
  }
}

/* ---- finishRun: UPDATE ... WHERE Job_Id = @jobId AND Status = 'InProgress' ---- */

inline finishRun() {
  d_step {
    step[me] == FINISH && !lockedByOther(own) ->
    if
    :: isInProgress(own) || mutant(NO_STATUS_IN_FINISH) ->
      SAY("finishRun ends its row");
      mustHold(isInProgress(own), endedRunStays);
      setStatus(own, ENDED)
    :: else -> SAY("finishRun finds its row ended")
    fi;
    answer(FINISH_ANSWER)
  }
}

inline finishRun_answer() {
  d_step { step[me] == FINISH_ANSWER && heard -> SAY("the client hears that its row has ended"); endClient() }
}

/* ---- What goes wrong between a client and its sessions ---- */

#define isAnswer(s) (s == FINISH_ANSWER || isWorkAnswer(s))
#define readsOnly(s) (s == FIND_ACTIVE || s == COLLECT || workReadsOnly(s))
/* Something that the server may still do when nobody listens. */
#define mayStillWrite(s) (s != IDLE && s != GONE && !isAnswer(s) && !readsOnly(s) && !isClientStep(s))
#define restartOf(s) (s <= FIND_ACTIVE -> CLOSE_STALE : ((s == FINISH || s == FINISH_ANSWER) -> FINISH : restartOfWork(s)))

inline leaveSession() {
  if
  :: mayStillWrite(step[me])
  :: else -> endSession()
  fi
}

/* The answer is late or lost, or the connection breaks: that piece of work is done again on a new session. */
inline client_retries() {
  d_step {
    heard && own != LAST && me % 2 == 1 && !isClientStep(step[me]) ->
    SAY("its answer is late or lost; the client retries on session 2");
    listening[own] = me + 1;
    step[me + 1] = restartOf(step[me]);
    handOver();
    leaveSession()
  }
}

inline client_dies() {
  d_step { heard && own != LAST -> SAY("the client dies"); listening[own] = 0; forgetRun(); leaveSession() }
}

/* The server ends a session that nobody listens to sooner or later, at any point of its work. */
inline session_dies() {
  d_step {
    !heard && own != LAST && mayStillWrite(step[me]) ->
    SAY("the server ends the session and rolls back");
    rollBackRows();
    endSession()
  }
}

/* ---- What happens beside the runs ---- */

inline leaseRunsOut(row) {
  d_step { !quiet && isInProgress(row) && !stale[row] -> printf("the lease of run %d runs out\n", row + 1); stale[row] = true }
}

/* UPDATE ... SET Status = 'Failed' WHERE Job_Id = @jobId AND Status = 'InProgress', by an operator. */
inline cancelRun(row) {
  d_step {
    !quiet && isInProgress(row) && rowLock[row] == 0 ->
    printf("cancelRun closes the row of run %d\n", row + 1);
    setStatus(row, ENDED)
  }
}

#define hasEnded(s) (step[s] == IDLE || step[s] == GONE)

/* All clients and sessions have ended, and time has passed. */
inline lastRun_begins() {
  d_step {
    !quiet && listening[0] == 0 && listening[1] == 0 && hasEnded(1) && hasEnded(2) && hasEnded(3) && hasEnded(4) && workIsQuiet ->
    printf("all is quiet and every lease has run out: a last run begins, undisturbed\n");
    quiet = true;
    begun = true;
    for (i : 0 .. 1) { stale[i] = isInProgress(i) };
    i = 0;
    listening[LAST] = LAST_SESSION;
    step[LAST_SESSION] = CLOSE_STALE
  }
}

inline lastRun_ends() {
  d_step { quiet && step[LAST_SESSION] == GONE -> checkAtRest(); done = true }
}

init {
  atomic {
    listening[0] = 1;
    step[1] = CLOSE_STALE;
    listening[1] = (RUNS == 2 -> 3 : 0);
    step[3] = (RUNS == 2 -> CLOSE_STALE : IDLE);
    run Session(1, 0);
    run Session(2, 0);
    run Session(3, 1);
    run Session(4, 1);
    run Session(LAST_SESSION, LAST);
    run World()
  }
}
