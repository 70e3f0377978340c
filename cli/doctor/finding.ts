/** What a check found: one line of the doctor's output. */
export interface Finding {
  /** skipped: not examined, because something before it failed or the identity may not see it. */
  readonly status: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly subject: string;
  readonly message: string;
  /** What to do. */
  readonly advice?: string;
}

const plain =
  (status: 'ok' | 'skipped') =>
  (subject: string, message: string): Finding => ({ status, subject, message });
const advising =
  (status: 'warning' | 'failed') =>
  (subject: string, message: string, advice: string): Finding => ({ status, subject, message, advice });

export const ok = plain('ok');
export const skipped = plain('skipped');
export const warning = advising('warning');
export const failed = advising('failed');

const signs = { ok: '✓', warning: '!', failed: '✗', skipped: '–' } as const;

/** For example "✗ index IX_…: missing → npm run db:deploy". Always one line. */
export function formatFinding({ status, subject, message, advice }: Finding): string {
  const line = `${signs[status]} ${subject}: ${message}${advice === undefined ? '' : ` → ${advice}`}`;
  return line.replace(/\s+/g, ' ').trim();
}
