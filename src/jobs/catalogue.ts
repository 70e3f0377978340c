import type { ScheduleSetting } from '../config/schedules';
import type { SettingGroup, SettingProblem, Settings } from '../config/settings';
import type { JobType } from '../jobRun/jobRun';
import type { Services } from '../services';
import { expiredSql, firstLead, notifiableSql, type DueSql } from './dueSql';
import type { Outcome, RunContext } from './outcome';
import { databricks, palantir, type Platform } from './platforms';

/** A job as a value: what it is called, when it runs, what it reads and writes, and what runs it. */
interface BaseJob {
  readonly type: JobType;
  readonly platform: Platform;
  readonly scheduleSetting: ScheduleSetting;
  readonly words: JobWords;
  /** The settings without which it cannot run, and those without which it is not known what is due. */
  readonly settings: { readonly run: readonly SettingGroup[]; readonly due: readonly SettingGroup[] };
  readonly writes: WrittenTable;
  /**
   * The grants that a run handles.
   * @throws SettingsError
   */
  readonly due: (settings: Settings) => DueSql;
  /** Where a preview divides the ends of what is due, in hours from now: old ends and new ones show at a glance. */
  readonly spreadHours: (settings: Settings) => readonly number[];
  /**
   * Reads and loads what a run needs, before the lock is taken. What it yields executes the job and does not throw.
   * @throws SettingsError
   */
  readonly prepare: (services: Services) => Promise<(context: RunContext) => Promise<Outcome>>;
}

/** A job's words: "revoke 12 grants", "12 revoked". */
interface JobWords {
  readonly verb: string;
  readonly done: string;
  readonly noun: string;
}

/** The table that a job writes a row to for each grant, and its columns. */
export interface WrittenTable {
  readonly table: string;
  readonly at: string;
  readonly by: string;
  readonly sentTo?: string;
}

export interface RevocationJob extends BaseJob {
  readonly kind: 'revocation';
  /** Any number of grants may be due: an operator has confirmed the run. */
  readonly withoutSafetyStop: boolean;
}

export interface NotificationJob extends BaseJob {
  readonly kind: 'notification';
}

export type Job = RevocationJob | NotificationJob;

type Named = Pick<Job, 'type' | 'platform' | 'scheduleSetting'>;

function revocation(named: Named, withoutSafetyStop = false): RevocationJob {
  const { platform } = named;
  return {
    ...named,
    kind: 'revocation',
    withoutSafetyStop,
    words: { verb: 'revoke', done: 'revoked', noun: 'grant' },
    settings: { run: ['database', 'revocation'], due: [] },
    writes: { table: platform.revocationTable, at: 'Revoked_Dt', by: 'Revoked_By' },
    due: () => expiredSql(platform),
    spreadHours: () => [-365 * 24, -30 * 24, -7 * 24, -24, -1],
    async prepare({ settings: { revocationCeiling } }) {
      const ceiling = withoutSafetyStop ? undefined : revocationCeiling;
      const { revokeExpired } = await import('./revocation');
      return (context) => revokeExpired(context, ceiling);
    },
  };
}

function notification(named: Named): NotificationJob {
  const { platform } = named;
  return {
    ...named,
    kind: 'notification',
    words: { verb: 'send', done: 'sent', noun: 'reminder' },
    settings: { run: ['database', 'notification', 'email'], due: ['notification'] },
    writes: {
      table: platform.notificationTable,
      at: 'Notification_Sent_Dt',
      by: 'Notification_Sent_By',
      sentTo: 'Notification_Sent_To',
    },
    due: (settings) => notifiableSql(platform, settings),
    spreadHours({ leadDays }) {
      const window = 24 * (firstLead(leadDays) + 1);
      return [1, 2, 4, 8, 15, 31].map((days) => 24 * days).filter((hours) => hours < window);
    },
    async prepare({ settings: { leadDays, notifyRevoked, email }, emailClient }) {
      const { notifyExpiring } = await import('./notification');
      return (context) => notifyExpiring(context, emailClient, { leadDays, notifyRevoked, email });
    },
  };
}

/** The four jobs. */
export const jobs: readonly Job[] = [
  revocation({
    type: 'RevokeExpiredDatabricksRequests',
    platform: databricks,
    scheduleSetting: 'SCHEDULE_REVOKE_DATABRICKS',
  }),
  revocation({
    type: 'RevokeExpiredPalantirRequests',
    platform: palantir,
    scheduleSetting: 'SCHEDULE_REVOKE_PALANTIR',
  }),
  notification({
    type: 'ExpiryNotificationDatabricksRequests',
    platform: databricks,
    scheduleSetting: 'SCHEDULE_NOTIFY_DATABRICKS',
  }),
  notification({
    type: 'ExpiryNotificationPalantirRequests',
    platform: palantir,
    scheduleSetting: 'SCHEDULE_NOTIFY_PALANTIR',
  }),
];

/** The job of that type; case matters. */
export function findJob(type: string): Job | undefined {
  return jobs.find((job) => job.type === type);
}

/** A revocation job that ignores the ceiling: an operator has confirmed the run. */
export function withoutSafetyStop({ type, platform, scheduleSetting }: RevocationJob): RevocationJob {
  return revocation({ type, platform, scheduleSetting }, true);
}

/** Whether the settings say what is due: reminders depend on the lead days. */
export function isDueKnown({ settings }: Job, { problems }: Pick<Settings, 'problems'>): boolean {
  return !problems.some(({ group }) => settings.due.includes(group));
}

/** The missing or malformed settings without which a job cannot run. */
export function problemsOf(
  { settings }: Job,
  { problems }: Pick<Settings, 'problems'>,
): readonly SettingProblem[] {
  return problems.filter(({ group }) => settings.run.includes(group));
}
