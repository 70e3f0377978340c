/*
 * The lock by itself: a job with nothing to do. Small enough to see that every order of events comes to an end.
 */
#define isWorkAnswer(s) (false)
#define workReadsOnly(s) (false)
#define isClientStep(s) (false)
#define restartOfWork(s) COLLECT
#define workIsQuiet (true)

#include "jobRun.pml"

inline forgetWork() { skip }
inline handOver() { skip }
inline forgetRun() { skip }
inline checkAtRest() { skip }

inline doNothing() {
  d_step { step[me] == COLLECT && heard -> SAY("has nothing to do"); step[me] = FINISH }
}

proctype Session(byte me; byte own) {
  do
  :: acquireLock_closeStale()
  :: acquireLock_check()
  :: acquireLock_insert()
  :: acquireLock_commit()
  :: findActiveRun()
  :: doNothing()
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
  :: lastRun_begins()
  :: lastRun_ends() -> break
  od
}
