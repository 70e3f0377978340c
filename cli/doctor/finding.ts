/** What a check found: one line of the doctor's output. */
export interface Finding {
  /** skipped: not examined, because something before it failed or the identity may not see it. */
  readonly status: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly subject: string;
  readonly message: string;
  /** What to do. */
  readonly advice?: string;
}

export const ok = (subject: string, message: string): Finding => ({ status: 'ok', subject, message });
export const warning = (subject: string, message: string, advice: string): Finding => ({
  status: 'warning',
  subject,
  message,
  advice,
});
export const failed = (subject: string, message: string, advice: string): Finding => ({
  status: 'failed',
  subject,
  message,
  advice,
});
export const skipped = (subject: string, because: string): Finding => ({
  status: 'skipped',
  subject,
  message: because,
});

const signs = { ok: '✓', warning: '!', failed: '✗', skipped: '–' } as const;

/** For example "✗ index IX_…: missing → npm run db:deploy". Always one line. */
export function formatFinding({ status, subject, message, advice }: Finding): string {
  const line = `${signs[status]} ${subject}: ${message}${advice === undefined ? '' : ` → ${advice}`}`;
  return line.replace(/\s+/g, ' ').trim();
}
