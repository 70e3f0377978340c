/** What went wrong, with its causes: the text of fetch, of a time-out or of several errors alone does not say. */
export function errorText(error: unknown): string {
  const { message, code, errors, cause } = error as {
    message?: string;
    code?: string;
    errors?: readonly unknown[];
    cause?: unknown;
  };
  const inner = errors?.[0] ?? cause;
  const own = message ?? code ?? String(error);
  const because = inner === undefined ? '' : errorText(inner);
  return because.includes(own) ? because : [own, because].filter(Boolean).join(': ');
}
