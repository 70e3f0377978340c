/* The lock by itself: a job with nothing to do. Small enough to check that every order of events comes to an end. */
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

proctype Session(byte me; byte own) { do RUN_STEPS :: doNothing() od }

proctype World() { do WORLD_STEPS od }
