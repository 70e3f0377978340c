import { app } from '@azure/functions';
import { scheduleFor } from '../config/schedules';
import { jobs } from '../jobs/catalogue';
import { inInvocation, runTracked } from './runner';

/** One timer function a job, named as its Job_Type. */
export function registerTimers(): void {
  for (const job of jobs) {
    app.timer(job.type, {
      schedule: scheduleFor(job.scheduleSetting),
      handler: (_timer, context) =>
        inInvocation(context, async () => {
          const result = await runTracked(job, { trigger: 'timer' });
          // Thrown so that the host counts the invocation as failed; the next slot still fires.
          if (result.kind === 'finished' && result.run.status === 'Failed') {
            const { run, error } = result;
            throw new Error(`Run ${run.jobId} failed: ${run.message ?? ''}`, { cause: error });
          }
        }),
    });
  }
}
