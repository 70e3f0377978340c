import type { ScheduleSetting } from '../config/schedules';
import type { JobType } from '../jobRun/jobRun';
import { databricks, palantir, type Platform } from './platforms';

/** A job: what it does, for which platform, and the setting of its schedule. */
export interface Job {
  readonly type: JobType;
  readonly kind: 'revocation' | 'notification';
  readonly platform: Platform;
  readonly scheduleSetting: ScheduleSetting;
}

/** The four jobs. */
export const jobs: readonly Job[] = [
  {
    type: 'RevokeExpiredDatabricksRequests',
    kind: 'revocation',
    platform: databricks,
    scheduleSetting: 'SCHEDULE_REVOKE_DATABRICKS',
  },
  {
    type: 'RevokeExpiredPalantirRequests',
    kind: 'revocation',
    platform: palantir,
    scheduleSetting: 'SCHEDULE_REVOKE_PALANTIR',
  },
  {
    type: 'ExpiryNotificationDatabricksRequests',
    kind: 'notification',
    platform: databricks,
    scheduleSetting: 'SCHEDULE_NOTIFY_DATABRICKS',
  },
  {
    type: 'ExpiryNotificationPalantirRequests',
    kind: 'notification',
    platform: palantir,
    scheduleSetting: 'SCHEDULE_NOTIFY_PALANTIR',
  },
];

/** The job of that type, written exactly so. */
export function findJob(type: string): Job | undefined {
  return jobs.find((job) => job.type === type);
}
