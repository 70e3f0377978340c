/** A preview and a run in words, for a terminal. Times are UTC. */
import {
  describeCounts,
  formatCount,
  formatDuration,
  formatNumber,
  formatSpan,
  formatUtc,
} from '../src/format';
import type { Job } from '../src/jobs/catalogue';
import { failureCauses, undeliverableCount } from '../src/jobs/failures';
import type { Preview, PreviewedReminder, RevocationPreview } from '../src/jobs/previewJob';
import type { RunResult } from '../src/jobs/runJob';
import { singleLine } from '../src/singleLine';

export function describePreview(job: Job, preview: Preview): string {
  const parts = [
    describeDue(job, preview),
    preview.exceedsCeiling ? describeSafetyStop(preview) : [],
    describeFailing(preview),
    describeCovered(preview),
    describeEnds(preview),
    describeGrants(job, preview),
  ];
  return parts
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

function describeDue({ type, kind }: Job, preview: Preview): string[] {
  const { count, exceedsCeiling, failing, readAt, oldestDueMinutes } = preview;
  const sent = count - undeliverableCount(failing);
  const act =
    kind === 'revocation'
      ? `revoke ${exceedsCeiling ? 'nothing' : formatCount(count, 'grant')}`
      : `send ${sent < count ? `${formatNumber(sent)} of ` : ''}${formatCount(count, 'reminder')}`;
  return [
    `${type} would ${act} now. This was a dry run: nothing was written or sent.`,
    `Read at ${formatUtc(readAt)}.${count > 0 ? ` The oldest has been due for ${formatSpan(oldestDueMinutes * 60_000)}.` : ''}`,
  ];
}

function describeSafetyStop({ count, ceiling }: RevocationPreview): string[] {
  return [
    `Blocked by the safety stop: ${formatNumber(count)} grants are due, more than ${formatNumber(ceiling)} (REVOCATION_CEILING).`,
    'If that is not what you expect, correct sql/06_AccessGrant_views.sql. If it is, run the job with --allow-mass-revocation.',
  ];
}

function describeFailing({ failing }: Preview): string[] {
  return failing.flatMap(({ cause, count, requestIds }) => {
    const { words, advice } = failureCauses[cause];
    const ids =
      requestIds.length === 0 ? '' : `: ${requestIds.join(', ')}${requestIds.length < count ? ', …' : ''}`;
    return [`Would fail: ${formatNumber(count)} ${words}${ids}`, `  ${advice}`];
  });
}

function describeCovered({ coveredCount, covered }: Preview): string[] {
  if (coveredCount === 0) return [];
  const lines = covered.map(
    ({ requestId, coveredBy, until }) =>
      `  ${requestId}: by ${singleLine(coveredBy)}, until ${formatUtc(until)}`,
  );
  const more = coveredCount - covered.length;
  return [
    `Covered, because the access continues by another request: ${formatCount(coveredCount, 'grant')}`,
    ...lines,
    ...(more > 0 ? [`  and ${formatNumber(more)} more`] : []),
  ];
}

function describeEnds({ ends }: Preview): string[] {
  if (!ends) return [];
  const rows = ends.spread.map(({ from, to, count }) => {
    const since = from ? `from ${formatUtc(from)}` : '';
    return [
      formatNumber(count),
      [since, to ? `${from ? 'until' : 'before'} ${formatUtc(to)}` : ''].filter(Boolean).join(' '),
    ];
  });
  const width = Math.max(...rows.map(([count = '']) => count.length));
  return [
    'Number of grants by end:',
    ...rows.map(([count = '', text = '']) => `  ${count.padStart(width)}  ${text}`),
  ];
}

function describeGrants(job: Job, { grants, count }: Preview): string[] {
  if (grants.length === 0) return [];
  const shown =
    grants.length < count ? `The first ${formatNumber(grants.length)} of ${formatNumber(count)}` : 'All';
  const rows = [['Request', 'Number', 'Ends', ...(job.kind === 'notification' ? ['To'] : []), 'Resource']];
  for (const grant of grants) {
    const { requestId, requestNumber, expiresAt, resource } = grant;
    const to = 'recipient' in grant ? [describeRecipient(grant)] : [];
    rows.push([String(requestId), requestNumber, formatUtc(expiresAt), ...to, resource].map(singleLine));
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [`${shown}, soonest end first:`, ...lines.map((line) => `  ${line}`)];
}

function describeRecipient({ recipient, failure, failureDetail }: PreviewedReminder): string {
  if (recipient) return recipient;
  return failure ? `(${failureDetail ?? failureCauses[failure].words})` : '';
}

/** The result of a run. */
export function describeResult({ words }: Job, result: RunResult): string {
  if (result.kind === 'held') return 'Nothing was done: the job is running already.';
  const { run, backlog, stoppedEarly } = result;
  const due = backlog ? ` of ${formatNumber(backlog.dueCount)} due` : '';
  const took = run.completedAt
    ? ` in ${formatDuration(run.completedAt.getTime() - run.startedAt.getTime())}`
    : '';
  return `${run.status}: ${describeCounts(words.done, run)}${due}${took}.${stoppedEarly ? ' It stopped early: run it again for the rest.' : ''}`;
}
