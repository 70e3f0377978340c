/** Words and numbers for people, alike in logs, pages, mails and commands. Times are UTC. */

const secondMs = 1000;
const minuteMs = 60 * secondMs;

/** With thousands separators, for example "1,240". */
export function formatNumber(value: number): string {
  return value.toLocaleString('en-GB');
}

/** A number with its noun, for example "1 grant", "1,240 grants". */
export function formatCount(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatNumber(count)} ${count === 1 ? noun : plural}`;
}

/** What a run did, for example "12 revoked" or "30 sent, 2 failed". `done`: the word of the job. */
export function describeCounts(
  done: string,
  {
    processedCount,
    failedCount,
  }: { readonly processedCount: number | null; readonly failedCount: number | null },
): string {
  const processed = `${formatNumber(processedCount ?? 0)} ${done}`;
  return failedCount === null ? processed : `${processed}, ${formatNumber(failedCount)} failed`;
}

/** For example "2026-12-01 08:00:00 UTC". */
export function formatUtc(date: Date): string {
  return `${formatDateTime(date)} UTC`;
}

/** For example "2026-12-01 08:00:00", where the zone is named elsewhere. */
export function formatDateTime(date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ');
}

/** For example "2026-12-01 08:00 UTC", for times on a whole minute. */
export function formatUtcMinute(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** How long something took: "under 0.1 s", "4.0 s", "3 min 20 s", "1 h 5 min". */
export function formatDuration(ms: number): string {
  if (ms < 100) return 'under 0.1 s';
  if (ms < minuteMs - 50) return `${(ms / secondMs).toFixed(1)} s`;
  const seconds = Math.round(ms / secondMs);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

/** How long ago something was, in a sentence: "just now", "12 min ago". */
export function formatAgo(ms: number): string {
  return ms < minuteMs ? 'just now' : `${formatSpan(ms)} ago`;
}

/** A length of time in its largest unit, for example "12 min", "5 h" or "3 days". */
export function formatSpan(ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / minuteMs);
  if (minutes < 1) return 'less than a minute';
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${formatNumber(Math.floor(hours / 24))} days`;
}
