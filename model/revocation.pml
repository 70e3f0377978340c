/*
 * A revocation job: src/jobs/revocation.ts. Two grants have expired; the first may be renewed at any moment, and then
 * expire again. A batch holds one grant, so that a run has two.
 *
 * An end is one end date of one grant: 0 of the first grant, 1 of the first after its renewal, 2 of the second. The
 * database's clock may be set back to before the end of the second.
 */
byte expired = 5; /* the ends that the view yields and that have passed, as bits */
bool back; /* the database's clock has been set back */
byte revoked[3]; /* committed revocations that were written for each end */
byte inserting[6]; /* what each session has inserted and not committed: end + 1; 0: nothing */

#define TAKE_ROW 21 /* revokeBatch sent */
#define READ_DUE 22
#define TAKE_ROW_BY_HINT 23 /* a mutant's */
#define INSERT_DUE 24
#define COMMIT_BATCH 25
#define BATCH_ANSWER 26
#define LOST_ANSWER 27 /* the lock is lost; the answer is on its way */

#define isWorkAnswer(s) (s == BATCH_ANSWER || s == LOST_ANSWER)
#define workReadsOnly(s) (false)
#define isClientStep(s) (false)
/* What is due is collected again on the new session. */
#define restartOfWork(s) COLLECT
#define workIsQuiet (true)

#define bit(n) (1 << (n))
#define isYielded(e) ((expired & bit(e)) != 0)
#define hasPassed(e) (isYielded(e) && !(back && e == 2))
#define isRenewed ((expired & bit(0)) == 0)

#include "jobRun.pml"

inline handOver() { skip }
inline forgetRun() { skip }
inline forgetWork() { inserting[me] = 0; due = 0; end = 0; writes = false }

/* No revocation dated at or after that end. One that was written for an earlier end is dated before a later one. */
#define isDue(e) (hasPassed(e) && revoked[e] == 0)
#define isInserting(e) (inserting[1] == e + 1 || inserting[2] == e + 1 || inserting[3] == e + 1 || inserting[4] == e + 1)

/* Sends the batch of the next grant that was collected, or else finishRun. */
inline sendNext() {
  if
  :: due == 0 -> end = 0; step[me] = FINISH
  :: else ->
    end = ((due & bit(0)) -> 0 : ((due & bit(1)) -> 1 : 2));
    due = due & ~bit(end);
    step[me] = (mutant(NO_OWN_ROW_UPDATE) -> READ_DUE : TAKE_ROW)
  fi
}

inline collectDueRevocations() {
  d_step {
    step[me] == COLLECT && heard && !(LOCKING_READS && (isInserting(0) || isInserting(1) || isInserting(2))) ->
    SAY("collectDueRevocations");
    due = isDue(0) * bit(0) + isDue(1) * bit(1) + isDue(2) * bit(2);
    sendNext()
  }
}

/* ---- revokeBatch: one transaction ---- */

/* UPDATE the own row WHERE Status = 'InProgress': takes the row's lock and sees the latest committed row. */
inline revokeBatch_takeRow() {
  d_step {
    step[me] == TAKE_ROW && (mutant(NO_FENCE_BUT_HINTS) || !lockedByOther(own)) ->
    if
    :: !isInProgress(own) && !mutant(NO_STATUS_IN_FENCE) -> SAY("revokeBatch: its row has ended, lock lost"); answer(LOST_ANSWER)
    :: (isInProgress(own) || mutant(NO_STATUS_IN_FENCE)) && !mutant(NO_FENCE_BUT_HINTS) -> SAY("revokeBatch: UPDATE takes its row"); lockRow(own); step[me] = READ_DUE
    :: else -> SAY("revokeBatch: SELECT WITH (UPDLOCK) sees its row in progress; the hint is ignored"); step[me] = READ_DUE
    fi
  }
}

/* INSERT ... SELECT: what the statement reads, in a snapshot of its own. */
inline revokeBatch_read() {
  d_step {
    step[me] == READ_DUE && !(LOCKING_READS && isInserting(end)) ->
    writes = (hasPassed(end) || (mutant(NO_NOW_IN_BATCH) && isYielded(end)) || mutant(NO_VIEW_IN_BATCH)) &&
      (revoked[end] == 0 || mutant(NO_CHECK_IN_BATCH)) &&
      !(mutant(NO_END_IN_CHECK) && end == 1 && revoked[0] != 0);
    if
    :: writes -> SAY("revokeBatch: INSERT reads that the grant is due"); mustHold(hasPassed(end), oneRevocation)
    :: else -> SAY("revokeBatch: INSERT reads that the grant is not due")
    fi;
    step[me] = (mutant(NO_OWN_ROW_UPDATE) -> TAKE_ROW_BY_HINT : INSERT_DUE)
  }
}

/* The mutant's fence: ... AND EXISTS (the own row in progress, WITH (UPDLOCK)) in the same INSERT and its snapshot. */
inline revokeBatch_takeRowByHint() {
  d_step {
    step[me] == TAKE_ROW_BY_HINT && !lockedByOther(own) ->
    SAY("revokeBatch: INSERT reads its row WITH (UPDLOCK)");
    lockRow(own);
    writes = writes && isInProgress(own);
    step[me] = INSERT_DUE
  }
}

/* INSERT ...: what it writes; and UPDATE the own row SET Processed_Count = Processed_Count + the rows inserted. */
inline revokeBatch_insert() {
  d_step {
    step[me] == INSERT_DUE && !lockedByOther(own) ->
    if
    :: writes -> SAY("revokeBatch: INSERT writes a revocation, UPDATE counts it"); inserting[me] = end + 1
    :: else -> SAY("revokeBatch: INSERT writes nothing")
    fi;
    lockRow(own);
    newCount[own] = newCount[own] + (writes && !mutant(NO_COUNT_IN_TRANSACTION));
    writes = false;
    end = 0;
    step[me] = COMMIT_BATCH
  }
}

inline revokeBatch_commit() {
  d_step {
    step[me] == COMMIT_BATCH ->
    SAY("revokeBatch: COMMIT");
    if
    :: inserting[me] != 0 ->
      mustHold(isInProgress(own), lostLockWritesNothing);
      revoked[inserting[me] - 1]++;
      rowsWritten[own]++;
      mustHold(revoked[inserting[me] - 1] == 1, oneRevocation);
      inserting[me] = 0
    :: else
    fi;
    commitRows();
    answer(BATCH_ANSWER)
  }
}

inline revokeBatch_answer() {
  d_step { step[me] == BATCH_ANSWER && heard -> SAY("the client hears that the batch is done"); sendNext() }
}

inline revokeBatch_lostAnswer() {
  d_step {
    step[me] == LOST_ANSWER && heard ->
    SAY("the client hears that its lock is lost");
    forgetWork();
    step[me] = FINISH
  }
}

/* ---- The site's own system, and time ---- */

inline renewGrant() {
  d_step { !quiet && !isRenewed -> printf("the first grant is renewed\n"); expired = expired & ~bit(0) }
}

inline expireAgain() {
  d_step {
    !quiet && isRenewed && (expired & bit(1)) == 0 ->
    printf("the new end of the first grant passes\n");
    expired = expired | bit(1)
  }
}

inline clockStepsBack() {
  d_step { !quiet && !back -> printf("the database's clock is set back to before the end of the second grant\n"); back = true }
}

inline clockCatchesUp() {
  d_step { !quiet && back -> printf("the end of the second grant passes again\n"); back = false }
}

inline checkAtRest() {
  for (i : 0 .. 2) { mustHold(!hasPassed(i) || revoked[i] == 1, oneRevocation) };
  i = 0
}

proctype Session(byte me; byte own) {
  byte due; /* the temporary table #Due: the ends that are left to do, as bits */
  byte end; /* the end that the batch is for */
  bool writes; /* what INSERT ... SELECT has read */

  do
  :: acquireLock_closeStale()
  :: acquireLock_check()
  :: acquireLock_insert()
  :: acquireLock_commit()
  :: findActiveRun()
  :: collectDueRevocations()
  :: revokeBatch_takeRow()
  :: revokeBatch_read()
  :: revokeBatch_takeRowByHint()
  :: revokeBatch_insert()
  :: revokeBatch_commit()
  :: revokeBatch_answer()
  :: revokeBatch_lostAnswer()
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
  :: expireAgain()
  :: clockStepsBack()
  :: clockCatchesUp()
  :: lastRun_begins()
  :: lastRun_ends() -> break
  od
}
