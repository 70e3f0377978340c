/** An error's message with those of its causes: fetch, time-outs and AggregateErrors say nothing by themselves. */
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
