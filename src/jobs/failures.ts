/** Why grants could not be handled: words, advice and codes. */
import type { Column } from '../database/columns';
import { maxIds, type CountedFailure, type RunFacts } from '../jobRun/runMessage';

/** The most request ids named per cause, in a preview and in the log. */
export const maxNamedIds = 20;

/** Each cause of a failure: its words in a run's message, and the advice. */
export const failureCauses = {
  addressMissing: {
    words: 'without an email address',
    advice:
      'Add an email address at its source, or map the right column in sql/06_AccessGrant_views.sql. The next run sends what is then due.',
  },
  addressMalformed: {
    words: 'with a malformed email address',
    advice: 'Correct the address at its source: one plain address. The next run tries again.',
  },
  rejected: {
    words: 'rejected by the email service',
    advice:
      'Look the code up in the Communication Services documentation. A suppressed address bounced before: correct it, or wait until the service sends to it again (docs/operating.md, "rejected-mails"). The app tries again on the next day, or once it is restarted.',
  },
  unavailable: {
    words: 'while the email service was unavailable',
    advice:
      'Check the email service, EMAIL_ENDPOINT, EMAIL_SENDER_ADDRESS and the role of the identity (npm run doctor). The next run tries again.',
  },
  unknown: {
    words: 'with an unknown outcome',
    advice:
      'The answer of the email service was lost. The next run asks for the message by its operation id before it sends again.',
  },
  deleted: {
    words: 'sent but not recorded',
    advice:
      'The request was deleted while its message was sent, so the record has no row to refer to (error 547). There is nothing to do.',
  },
  recordLocked: {
    words: 'sent but not recorded, as the request was locked',
    advice:
      'Another transaction held a request of the mail. The next run sends it under the same operation id, by which the service recognises it, and records it; if it persists, find who holds the lock (sys.dm_tran_locks).',
  },
  duplicated: {
    words: 'in the view more than once',
    advice:
      'Correct the join in sql/06_AccessGrant_views.sql so that each request appears once; until then it is skipped.',
  },
  idMissing: {
    words: 'without a request id',
    advice:
      'Correct the mapping of RequestId in sql/06_AccessGrant_views.sql: these rows cannot be recorded until then.',
  },
  endUnstable: {
    words: 'with an end that is not comparable',
    advice:
      'Map ExpiresAt in sql/06_AccessGrant_views.sql to a bare DATETIME or DATETIME2 column in UTC: a DATETIMEOFFSET, a masked column or an expression that changes cannot be compared. Or the end was changed during the run; then the next run handles it.',
  },
  locked: {
    words: 'locked by another transaction',
    advice:
      'A transaction holds these rows of the request table open; where there are very many, some rows between them are counted with them. The next run tries again; if it persists, find who holds the lock (sys.dm_tran_locks).',
  },
  timedOut: {
    words: 'not written in time',
    advice:
      'The database did not finish the statement in 20 seconds, however few grants it was for. Look at its load and at what blocks it. The next run tries again.',
  },
  refused: {
    words: 'refused by the foreign key',
    advice:
      'The request is not in the table that the foreign key names (SQL error 547): it has been deleted, or the view reads another table. Correct the mapping of RequestId in sql/06_AccessGrant_views.sql.',
  },
} as const;

export type FailureCause = keyof typeof failureCauses;

function isFailureCause(value: unknown): value is FailureCause {
  return typeof value === 'string' && Object.hasOwn(failureCauses, value);
}

export const failureCause: Column<FailureCause> = {
  expected: 'a cause of failures',
  read: (value) => (isFailureCause(value) ? value : undefined),
};

/** Grants that failed for one cause. */
export interface Failure extends CountedFailure {
  readonly cause: FailureCause;
}

/** Causes that fail a run: somebody has to correct the view or the database. */
const failingCauses: readonly FailureCause[] = [
  'duplicated',
  'idMissing',
  'endUnstable',
  'locked',
  'timedOut',
  'refused',
];

/** Sums failures up by cause and code, with the first request ids of each. */
export function addFailure(failures: readonly Failure[], added: Failure): readonly Failure[] {
  const same = failures.find(({ cause, code }) => cause === added.cause && code === added.code);
  const requestIds = [...(same?.requestIds ?? []), ...added.requestIds].slice(0, maxIds);
  const sum = { ...added, count: (same?.count ?? 0) + added.count, requestIds };
  return same ? failures.map((failure) => (failure === same ? sum : failure)) : [...failures, sum];
}

/** Grants whose message failed: Failed_Count. */
export function failedCount(failures: readonly Failure[]): number {
  return sum(failures.filter(({ cause }) => cause !== 'deleted' && !failingCauses.includes(cause)));
}

/** Grants of some causes. */
export function countOf(failures: readonly Failure[], ...causes: readonly FailureCause[]): number {
  return sum(failures.filter(({ cause }) => causes.includes(cause)));
}

/** Grants whose address is missing or malformed. */
export function undeliverableCount(failures: readonly Failure[]): number {
  return countOf(failures, 'addressMissing', 'addressMalformed');
}

/** Grants that were due and left, which fails a run. */
export function leftCount(failures: readonly Failure[]): number {
  return sum(failures.filter(({ cause }) => failingCauses.includes(cause)));
}

function sum(failures: readonly Failure[]): number {
  return failures.reduce((total, { count }) => total + count, 0);
}

/** For example "Failed: 3 without an email address; 1 rejected by the email service, code EmailDropped." */
export function describeFailures(failures: readonly Failure[]): string {
  const parts = [...failures]
    .sort((a, b) => b.count - a.count)
    .map(
      ({ cause, code, count }) =>
        `${count} ${failureCauses[cause].words}${code === undefined ? '' : `, code ${code}`}`,
    );
  return parts.length === 0 ? '' : `Failed: ${parts.join('; ')}.`;
}

/** The failures of a run's row; causes that another version wrote are left out. */
export function failuresOf({ failures }: RunFacts): Failure[] {
  return failures.flatMap(({ cause, ...counts }) => (isFailureCause(cause) ? [{ cause, ...counts }] : []));
}
