import { AsyncLocalStorage } from 'node:async_hooks';
import { app, type InvocationContext } from '@azure/functions';
import type { Log } from '../jobs/runJob';

/** Application Insights cuts a trace, or drops it, beyond 32,768 characters ("Application Insights limits"). */
const maxLineLength = 32_000;
/** What a cut line keeps of its end: the reason often comes last. */
const keptEnd = 2_000;
const ellipsis = ' ... ';

const invocation = new AsyncLocalStorage<InvocationContext>();

/** Before any function is registered: each invocation's work knows its log, and no line is too long. */
export function registerLog(): void {
  app.hook.preInvocation((hook) => {
    const { functionHandler, invocationContext } = hook;
    hook.functionHandler = (...inputs): unknown =>
      invocation.run(invocationContext, () => functionHandler(...inputs) as unknown);
  });
  app.hook.log((hook) => {
    hook.message = cut(hook.message);
  });
}

/**
 * Logs one record in the invocation that calls this. Outside of one, only console output reaches the host, each
 * line as information.
 */
export const log: Log = (message, level) => {
  const context = invocation.getStore();
  if (!context) console.warn(cut(message));
  else if (level === 'error') context.error(message);
  else if (level === 'warning') context.warn(message);
  else context.log(message);
};

function cut(line: string): string {
  if (line.length <= maxLineLength) return line;
  return line.slice(0, maxLineLength - ellipsis.length - keptEnd) + ellipsis + line.slice(-keptEnd);
}
