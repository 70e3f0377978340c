/*
 * The lock of a job type, which is the row of dbo.JobRun in progress: shared by lock.pml, revocation.pml and
 * notification.pml. docs/protocol.md says what is modelled, and how to change the model together with the SQL.
 *
 * Two runs of one job type have two sessions each: a run's client may leave its first session at any point and retry on
 * the second, while the first is still at work on the server; or it dies. When all is quiet, a last run follows, which
 * nothing disturbs.
 *
 * Each rule is one indivisible step of a session, named after its statement in src/. It can be taken whenever its guard
 * (the condition before the first ->) holds; the checker tries every order. A statement that waits for a row's lock has a
 * guard that does not hold yet.
 *
 * scripts/model.ts defines:
 *   LOCKING_READS   1: without row versioning, so that a plain read waits for rows that another transaction has changed,
 *                   and UPDLOCK does what it says; 0: a read sees what was committed when its statement began, and
 *                   hints are ignored
 *   RUNS            runs before the last one, 1 or 2
 *   MUTANTS         the names of the mutants and limits in docs/protocol.md
 *   MUTANT          the safeguard that is left out, the promise that is not made, or none
 */
#define mutant(name) (MUTANT == name)
#define limit(name) (MUTANT == name)

mtype = { none, MUTANTS };

/* What must hold: docs/protocol.md says it in words. */
mtype = {
  oneRunInProgress, endedRunStays, lockCanBeTaken, countIsRows,
  lostLockWritesNothing, oneRevocation,
  acceptedIsRecorded, recordedIsAccepted, recordedOnce, sameOperationId
};

/* What a session does next. At the first step of a statement the client has sent it, and the server has not begun. */
#define GONE 0 /* nothing: it has not begun, or has ended */
mtype = {
  CLOSE_STALE, CHECK_FRESH, INSERT_RUN, COMMIT_LOCK, FIND_ACTIVE, /* acquireLock */
  COLLECT,
  CHECK_LEASE, SEND, WAIT, /* of a notification; the last two are the client's own */
  TAKE_ROW, READ, INSERT, COMMIT, WORK_ANSWER, /* revokeBatch or recordNotification */
  FINISH, FINISH_ANSWER
};
#define isClientStep(s) (s == SEND || s == WAIT)
#define readsOnly(s) (s == FIND_ACTIVE || s == COLLECT || s == CHECK_LEASE)
#define isAnswer(s) (s == WORK_ANSWER || s == FINISH_ANSWER)
/* A step that the server may still take when its client no longer listens. */
#define mayStillWrite(s) (s != GONE && !isAnswer(s) && !readsOnly(s) && !isClientStep(s))
#define takesLock(s) (s == CLOSE_STALE || s == CHECK_FRESH || s == INSERT_RUN || s == COMMIT_LOCK || s == FIND_ACTIVE)
#define restartOf(s) (takesLock(s) -> CLOSE_STALE : ((s == FINISH || s == FINISH_ANSWER) -> FINISH : restartOfWork(s)))

#define LAST 2 /* the last run, after the runs 0 and 1 */
#define LAST_SESSION 5 /* after 1 and 2 of run 0, 3 and 4 of run 1 */

/* JobRun.Status; Completed and Failed are the same to the lock. */
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

byte rowsWritten[3]; /* not in the database: the committed rows that each run wrote */
byte step[6]; /* of each session */
byte listening[3]; /* the session whose answers the run's client waits for; 0: the client has ended or died */
bool begun; /* run 0 has begun; run 1 never begins before it: which of them is called 0 makes no difference */
bool quiet; /* the last run has begun: nothing disturbs it */
bool done; /* the last run has ended */

#define isInProgress(row) (status[row] == IN_PROGRESS)
#define lockedByOther(row) (rowLock[row] != 0 && rowLock[row] != me)
/* What the session's own transaction has done is visible to it, and what others have committed. */
#define sees(row) (rowLock[row] == me -> newStatus[row] : status[row])
#define inAnyRow(condition) (condition(0) || condition(1) || condition(2))
#define inEachRow(rule) rule(0); rule(1); rule(2)
#define heard (listening[own] == me)

#define SAY(...) printf("run %d, session %d: ", own + 1, 2 - me % 2); printf(__VA_ARGS__); printf("\n")

#define when(condition, action) if :: (condition) -> action :: else fi

inline mustHold(condition, invariant) { when(!(condition), printf("BROKEN %e\n", invariant); assert(false)) }

/* An answer reaches only a client that still listens. */
inline answer(next) {
  if
  :: heard -> step[me] = next
  :: else -> endSession()
  fi
}

inline endSession() { step[me] = GONE; forgetWork() }
inline endClient() { listening[own] = 0; forgetRun(); endSession() }

inline lockRow(row) { when(rowLock[row] == 0, rowLock[row] = me; newStatus[row] = status[row]; newCount[row] = count[row]) }
inline unlockRow(row) { rowLock[row] = 0; newStatus[row] = 0; newCount[row] = 0 }
inline setStatus(row, value) { status[row] = value; stale[row] = stale[row] && value == IN_PROGRESS }
inline commitRow(row) { when(rowLock[row] == me, setStatus(row, newStatus[row]); count[row] = newCount[row]; unlockRow(row)) }
inline rollBackRow(row) { when(rowLock[row] == me, unlockRow(row)) }

inline commitRows() {
  inEachRow(commitRow);
  mustHold(isInProgress(0) + isInProgress(1) + isInProgress(2) <= 1, oneRunInProgress);
  mustHold(count[own] == rowsWritten[own], countIsRows)
}

/* ---- acquireLock: one transaction ---- */

#define isStale(row) (isInProgress(row) && stale[row])
#define waitsToClose(row) (isStale(row) && lockedByOther(row))
#define isFresh(row) (sees(row) == IN_PROGRESS && !stale[row])
/* Another transaction adds a row in progress or ends one, and has not ended itself. */
#define keyChanges(row) (lockedByOther(row) && newStatus[row] != status[row])
#define inTheWay(row) (row != own && sees(row) == IN_PROGRESS)

inline closeStale(row) { when(isStale(row) && !mutant(NO_STALE_CLOSE), lockRow(row); newStatus[row] = ENDED) }

/*
 * UPDATE ... SET Status = 'Failed' WHERE Status = 'InProgress', of the row that a read of the lock's index found stale.
 * Between the two the row can only end, and then nothing is closed.
 */
inline acquireLock_closeStale() {
  d_step {
    step[me] == CLOSE_STALE && !inAnyRow(waitsToClose) ->
    SAY("acquireLock: UPDATE closes what is stale");
    inEachRow(closeStale);
    step[me] = CHECK_FRESH
  }
}

/* INSERT ... WHERE NOT EXISTS (a fresh row in progress): what the statement reads. */
inline acquireLock_check() {
  d_step {
    step[me] == CHECK_FRESH && !(LOCKING_READS && inAnyRow(keyChanges)) ->
    SAY("acquireLock: INSERT reads; fresh and in progress: %d", inAnyRow(isFresh));
    step[me] = (inAnyRow(isFresh) -> COMMIT_LOCK : INSERT_RUN)
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
      inEachRow(rollBackRow);
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

inline leaveSession() { when(!mayStillWrite(step[me]), endSession()) }

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

/* The server ends an abandoned session sooner or later, at any point of its work. */
inline session_dies() {
  d_step {
    !heard && own != LAST && mayStillWrite(step[me]) ->
    SAY("the server ends the session and rolls back");
    inEachRow(rollBackRow);
    endSession()
  }
}

#define RUN_STEPS \
  :: acquireLock_closeStale() :: acquireLock_check() :: acquireLock_insert() :: acquireLock_commit() \
  :: findActiveRun() :: finishRun() :: finishRun_answer() \
  :: client_retries() :: client_dies() :: session_dies() :: done -> break

/* ---- What happens at the same time as the runs ---- */

inline leaseRunsOut(n) {
  d_step { !quiet && isInProgress(n) && !stale[n] -> printf("the lease of run %d runs out\n", n + 1); stale[n] = true }
}

/* UPDATE ... SET Status = 'Failed' WHERE Job_Id = @jobId AND Status = 'InProgress', by an operator. */
inline cancelRun(n) {
  d_step { !quiet && isInProgress(n) && rowLock[n] == 0 -> printf("cancelRun closes run %d\n", n + 1); setStatus(n, ENDED) }
}

/* All clients and sessions have ended, and time has passed. */
inline lastRun_begins() {
  d_step {
    !quiet && listening[0] + listening[1] + step[1] + step[2] + step[3] + step[4] == 0 && workIsQuiet ->
    printf("all is quiet and every lease has run out: a last run begins, undisturbed\n");
    quiet = true;
    begun = true;
    stale[0] = isInProgress(0);
    stale[1] = isInProgress(1);
    listening[LAST] = LAST_SESSION;
    step[LAST_SESSION] = CLOSE_STALE
  }
}

inline lastRun_ends() {
  d_step { quiet && step[LAST_SESSION] == GONE -> checkAtRest(); done = true }
}

#define WORLD_STEPS \
  :: leaseRunsOut(0) :: leaseRunsOut(1) :: cancelRun(0) :: cancelRun(1) :: lastRun_begins() :: lastRun_ends() -> break

init {
  atomic {
    listening[0] = 1;
    step[1] = CLOSE_STALE;
    listening[1] = (RUNS == 2 -> 3 : 0);
    step[3] = (RUNS == 2 -> CLOSE_STALE : GONE);
    run Session(1, 0);
    run Session(2, 0);
    run Session(3, 1);
    run Session(4, 1);
    run Session(LAST_SESSION, LAST);
    run World()
  }
}
