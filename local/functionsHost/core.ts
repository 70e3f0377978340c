/**
 * The `@azure/functions-core` module: what the Functions worker supplies and `@azure/functions` looks for.
 * The contract is that of Azure/azure-functions-nodejs-worker 3.x; it is internal to the runtime, so the
 * version of `@azure/functions` is pinned.
 */
import Module from 'node:module';

export type LogLevel = 'trace' | 'debug' | 'information' | 'warning' | 'error' | 'critical' | 'none';

export interface Binding {
  readonly type: string;
  readonly direction: 'in' | 'out';
  readonly [option: string]: unknown;
}

export type FunctionCallback = (...inputs: unknown[]) => unknown;

export interface RegisteredFunction {
  readonly metadata: { readonly name: string; readonly bindings: Readonly<Record<string, Binding>> };
  readonly callback: FunctionCallback;
}

type Texts = Readonly<Record<string, string>>;

/** A request, or a response with its `statusCode`. */
export interface HttpData {
  readonly method?: string;
  readonly url?: string;
  readonly headers?: Texts;
  readonly query?: Texts;
  readonly params?: Texts;
  readonly statusCode?: string;
  readonly body?: { readonly bytes?: Uint8Array; readonly string?: string };
}

/** The part of the runtime's typed values that timers and HTTP use. */
export interface TypedData {
  readonly json?: string;
  readonly http?: HttpData;
}

export interface CoreInvocationContext {
  readonly invocationId: string;
  readonly request: {
    readonly inputData: readonly { readonly name: string; readonly data: TypedData }[];
    readonly traceContext: {
      readonly traceParent: string;
      readonly traceState: string;
      readonly attributes: Texts;
    };
  };
  readonly metadata: RegisteredFunction['metadata'];
  state: 'preInvocationHooks' | 'invocation' | undefined;
  log(level: LogLevel, category: string, message: string): void;
}

interface InvocationModel {
  getArguments(): Promise<{ context: unknown; inputs: unknown[] }>;
  invokeFunction(context: unknown, inputs: unknown[], callback: FunctionCallback): Promise<unknown>;
  getResponse(context: unknown, result: unknown): Promise<{ returnValue?: TypedData | null }>;
}

export interface ProgrammingModel {
  getInvocationModel(context: CoreInvocationContext): InvocationModel | Promise<InvocationModel>;
}

type HookCallback = (context: unknown) => unknown;

/** What the app has registered, and the module through which it did so. */
export class FunctionsCore {
  readonly functions = new Map<string, RegisteredFunction>();
  programmingModel: ProgrammingModel | undefined;
  /** The hooks that this host runs; the worker has appStart and postInvocation as well. */
  readonly hooks = {
    appTerminate: [] as HookCallback[],
    preInvocation: [] as HookCallback[],
    log: [] as HookCallback[],
  };

  constructor(private readonly log: (level: LogLevel, message: string) => void) {}

  /** Runs the hooks in the order of their registration, one at a time. */
  async runHooks(name: keyof FunctionsCore['hooks'], context: object): Promise<void> {
    for (const hook of this.hooks[name]) await hook(context);
  }

  /** Answers `require('@azure/functions-core')` with this core, for CommonJS and (by createRequire) ES modules. */
  supply(): void {
    const supplied = {
      setProgrammingModel: (model: ProgrammingModel) => {
        this.programmingModel = model;
      },
      getProgrammingModel: () => this.programmingModel,
      log: (level: LogLevel, _category: string, message: string) => this.log(level, message),
      registerHook: this.#registerHook.bind(this),
      registerFunction: this.#registerFunction.bind(this),
    };
    const modules = Module.prototype as { require: (this: unknown, id: string) => unknown };
    const original = modules.require;
    modules.require = function (id) {
      return id === '@azure/functions-core' ? supplied : original.call(this, id);
    };
  }

  #registerHook(name: string, callback: HookCallback): void {
    const callbacks = (this.hooks as Partial<Record<string, HookCallback[]>>)[name];
    if (!callbacks)
      throw new RangeError(`This host has no hook "${name}", only ${Object.keys(this.hooks).join(', ')}`);
    callbacks.push(callback);
  }

  #registerFunction(metadata: RegisteredFunction['metadata'], callback: FunctionCallback): void {
    const { name } = metadata;
    if (this.functions.has(name)) throw new Error(`A function named "${name}" is registered already`);
    this.functions.set(name, { metadata, callback });
  }
}
