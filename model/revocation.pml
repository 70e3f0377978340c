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

#define restartOfWork(s) COLLECT
#define workIsQuiet (true)

#include "jobRun.pml"

#define bit(n) (1 << (n))
#define isYielded(e) ((expired & bit(e)) != 0)
#define hasPassed(e) (isYielded(e) && !(back && e == 2))
#define isRenewed (!isYielded(0))
/* No revocation dated at or after that end. One that was written for an earlier end is dated before a later one. */
#define isDue(e) (hasPassed(e) && revoked[e] == 0)
#define isInserting(e) (inserting[1] == e + 1 || inserting[2] == e + 1 || inserting[3] == e + 1 || inserting[4] == e + 1)

inline handOver() { skip }
inline forgetRun() { skip }
inline forgetWork() { inserting[me] = 0; due = 0; end = 0; writes = false }

/* Sends the batch of the next grant that was collected, or else finishRun. */
inline sendNext() {
  if
  :: due == 0 -> end = 0; step[me] = FINISH
  :: else ->
    end = ((due & bit(0)) -> 0 : ((due & bit(1)) -> 1 : 2));
    due = due & ~bit(end);
    step[me] = (mutant(NO_OWN_ROW_UPDATE) -> READ : TAKE_ROW)
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

/*
 * UPDATE the own row WHERE Status = 'InProgress': takes the row's lock and sees the latest committed row. The mutant
 * NO_OWN_ROW_UPDATE does so with a hint in the INSERT, so after its read.
 */
inline revokeBatch_takeRow() {
  d_step {
    step[me] == TAKE_ROW && (mutant(NO_FENCE_BUT_HINTS) || !lockedByOther(own)) ->
    if
    :: isInProgress(own) || mutant(NO_STATUS_IN_FENCE) ->
      SAY("revokeBatch: takes its row");
      when(!mutant(NO_FENCE_BUT_HINTS), lockRow(own));
      step[me] = (mutant(NO_OWN_ROW_UPDATE) -> INSERT : READ)
    :: else -> SAY("revokeBatch: its row has ended, lock lost"); forgetWork(); answer(WORK_ANSWER)
    fi
  }
}

/* INSERT ... SELECT: what the statement reads, in a snapshot of its own. */
inline revokeBatch_read() {
  d_step {
    step[me] == READ && !(LOCKING_READS && isInserting(end)) ->
    writes = (hasPassed(end) || (mutant(NO_NOW_IN_BATCH) && isYielded(end)) || mutant(NO_VIEW_IN_BATCH)) &&
      (revoked[end] == 0 || mutant(NO_CHECK_IN_BATCH)) &&
      !(mutant(NO_END_IN_CHECK) && end == 1 && revoked[0] != 0);
    SAY("revokeBatch: INSERT reads; grants that are due: %d", writes);
    mustHold(!writes || hasPassed(end), oneRevocation);
    step[me] = (mutant(NO_OWN_ROW_UPDATE) -> TAKE_ROW : INSERT)
  }
}

/* INSERT ...: what it writes; and UPDATE the own row SET Processed_Count = Processed_Count + the rows inserted. */
inline revokeBatch_insert() {
  d_step {
    step[me] == INSERT && !lockedByOther(own) ->
    SAY("revokeBatch: INSERT writes, and UPDATE counts: %d", writes);
    inserting[me] = (writes -> end + 1 : 0);
    lockRow(own);
    newCount[own] = newCount[own] + (writes && !mutant(NO_COUNT_IN_TRANSACTION));
    writes = false;
    end = 0;
    step[me] = COMMIT
  }
}

inline revokeBatch_commit() {
  d_step {
    step[me] == COMMIT ->
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
    answer(WORK_ANSWER)
  }
}

inline revokeBatch_answer() {
  d_step { step[me] == WORK_ANSWER && heard -> SAY("the client hears what its batch did"); sendNext() }
}

/* ---- The site's own system, and time ---- */

inline renewGrant() {
  d_step { !quiet && !isRenewed -> printf("the first grant is renewed\n"); expired = expired & ~bit(0) }
}

inline expireAgain() {
  d_step {
    !quiet && isRenewed && !isYielded(1) ->
    printf("the new end of the first grant passes\n");
    expired = expired | bit(1)
  }
}

inline setClock() {
  d_step { !quiet -> printf("the clock is set; it is before the end of the second grant: %d\n", !back); back = !back }
}

inline checkRevoked(e) { mustHold(!hasPassed(e) || revoked[e] == 1, oneRevocation) }
inline checkAtRest() { checkRevoked(0); checkRevoked(1); checkRevoked(2) }

proctype Session(byte me; byte own) {
  byte due; /* the temporary table #Due: the ends that are left to do, as bits */
  byte end; /* the end that the batch is for */
  bool writes; /* what INSERT ... SELECT has read */
  do
  RUN_STEPS
  :: collectDueRevocations()
  :: revokeBatch_takeRow() :: revokeBatch_read() :: revokeBatch_insert() :: revokeBatch_commit() :: revokeBatch_answer()
  od
}

proctype World() { do WORLD_STEPS :: renewGrant() :: expireAgain() :: setClock() od }
