import { context, createContextKey, type Context } from '@opentelemetry/api';

/** The name of the operation that an item belongs to: Application Insights groups by it. */
const tag = 'ai.operation.name';

const key = createContextKey('name of the operation');

/** The context with the name of its operation. */
export function inOperation(parent: Context, name: string): Context {
  return parent.setValue(key, name);
}

/** The name of the current operation, if there is one. */
export function activeOperation(from: Context = context.active()): string | undefined {
  return from.getValue(key) as string | undefined;
}

interface Attributed {
  setAttribute(name: string, value: string): unknown;
}

function nameOperation(item: Attributed, from: Context | undefined): void {
  const name = activeOperation(from);
  if (name !== undefined) item.setAttribute(tag, name);
}

const nothingToEnd = { forceFlush: () => Promise.resolve(), shutdown: () => Promise.resolve() };

/** Names the operation on each dependency: the exporter does so only for requests. */
export const operationSpanProcessor = { onStart: nameOperation, onEnd: () => undefined, ...nothingToEnd };

/** Names the operation on each event and exception. */
export const operationLogProcessor = { onEmit: nameOperation, ...nothingToEnd };
