import { randomBytes, randomUUID } from 'node:crypto';
import type { ServedFunction } from './app';
import type { CoreInvocationContext, FunctionsCore, HttpData, ProgrammingModel, TypedData } from './core';
import { describeError, type HostLog } from './log';

/** Runs functions and knows which runs are under way. */
export class Invoker {
  readonly running = new Set<Promise<unknown>>();

  constructor(
    private readonly core: FunctionsCore,
    private readonly model: ProgrammingModel,
    private readonly log: HostLog,
  ) {}

  /**
   * Runs a function and logs its start and end.
   * @param reason why it runs, for the log
   * @param traceParent the caller's W3C trace context, if there is one
   * @returns the HTTP response, if the function gave one
   * @throws what the function throws, after logging it
   */
  async run(
    target: ServedFunction,
    input: TypedData,
    reason: string,
    traceParent = newTraceParent(),
  ): Promise<HttpData | undefined> {
    const functionName = target.description.name;
    const invocationId = randomUUID();
    const started = performance.now();
    const ended = (): string => `id ${invocationId}, ${Math.round(performance.now() - started)} ms`;
    this.log({ level: 'information', functionName, message: `Executing (${reason}, id ${invocationId})` });
    const invocation = this.#invoke(target, invocationId, input, traceParent);
    this.running.add(invocation);
    try {
      const answer = await invocation;
      this.log({ level: 'information', functionName, message: `Executed (succeeded, ${ended()})` });
      return answer;
    } catch (error) {
      const message = `Executed (failed, ${ended()}): ${describeError(error)}`;
      this.log({ level: 'error', functionName, message });
      throw error;
    } finally {
      this.running.delete(invocation);
    }
  }

  /** The steps of an invocation in the order of the Functions worker (its InvocationHandler.ts). */
  async #invoke(
    { registered: { metadata, callback }, triggerName }: ServedFunction,
    invocationId: string,
    data: TypedData,
    traceParent: string,
  ): Promise<HttpData | undefined> {
    const shared: { invocationContext?: unknown } = {};
    const context: CoreInvocationContext = {
      invocationId,
      metadata,
      state: undefined,
      request: {
        inputData: [{ name: triggerName, data }],
        traceContext: { traceParent, traceState: '', attributes: {} },
      },
      log: (level, category, message) => {
        // The app's hooks may change it.
        const entry = { ...shared, level, category, message };
        for (const hook of this.core.hooks.log) hook(entry);
        this.log({ level: entry.level, functionName: metadata.name, message: entry.message });
      },
    };
    const invocation = await this.model.getInvocationModel(context);
    const { context: invocationContext, inputs } = await invocation.getArguments();
    shared.invocationContext = invocationContext;
    context.state = 'preInvocationHooks';
    const hooked = { invocationContext, functionCallback: callback, inputs };
    await this.core.runHooks('preInvocation', hooked);
    context.state = 'invocation';
    const result = await invocation.invokeFunction(invocationContext, hooked.inputs, hooked.functionCallback);
    const { returnValue } = await invocation.getResponse(invocationContext, result);
    return returnValue?.http;
  }
}

/** What a timer function is given. This host keeps no schedule status, so no slot is ever past due. */
export const timerInput: TypedData = {
  json: JSON.stringify({ Schedule: { AdjustForDST: true }, ScheduleStatus: null, IsPastDue: false }),
};

/** https://www.w3.org/TR/trace-context/#traceparent-header */
function newTraceParent(): string {
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
}
