import { deadlineIn } from '../clock';
import { previewReminders, type DueGrant } from './dueReminders';
import type { Job } from './catalogue';
import type { Grant } from './grants';
import { previewRevocations } from './revocation';
import { timeBudgetsMs, type Services } from './runJob';

/** Grants that a preview lists. */
const previewLimit = 100;

/** What a job would do now. */
export interface Preview {
  readonly jobType: Job['type'];
  /** All grants that are due. */
  readonly count: number;
  /** Revocation jobs: whether a run would be stopped by the ceiling. */
  readonly exceedsCeiling?: boolean;
  /** The first 100 by expiry. */
  readonly grants: readonly (Grant | DueGrant)[];
}

/** Looks at what a job would do now. Writes nothing and takes no lock. */
export async function previewJob({ database, settings, clock }: Services, job: Job): Promise<Preview> {
  return database.connect((connection) =>
    connection.withRetries(deadlineIn(clock, timeBudgetsMs.http), async (session) => {
      if (job.kind === 'notification')
        return {
          jobType: job.type,
          ...(await previewReminders(session, job.platform, settings.leadDays, previewLimit)),
        };
      const preview = await previewRevocations(session, job.platform, previewLimit);
      return { jobType: job.type, exceedsCeiling: preview.count > settings.revocationCeiling, ...preview };
    }),
  );
}
