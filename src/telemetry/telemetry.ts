import { setTimeout as delay } from 'node:timers/promises';
import { context, propagation, SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api';
import type { TokenCredential } from '@azure/identity';
import type { TelemetryClient } from 'applicationinsights';
import { errorText } from '../errorText';
import { activeOperation, inOperation, operationLogProcessor, operationSpanProcessor } from './operation';
import {
  abandonedRunEvent,
  jobRunEvent,
  jobRunMetrics,
  jobStateEvent,
  type AbandonedRunEvent,
  type ExceptionProperty,
  type JobRunEvent,
  type JobStateEvent,
} from './names';

/** An invocation as the Functions host reports it: its request item is the host's. */
export interface Invocation {
  readonly functionName: string;
  /** The host's trace context (W3C Trace Context). */
  readonly traceContext?:
    { readonly traceParent?: string | undefined; readonly traceState?: string | undefined } | undefined;
}

/** Reports runs. Nothing here throws: no fault of telemetry fails a run. */
export interface Telemetry {
  /** Does `work` as part of the host's operation: all that it emits has the operation's id, parent and name. */
  inInvocation<T>(invocation: Invocation, work: () => Promise<T>): Promise<T>;
  /**
   * Does `work` in a span of its own, whose children its SQL and HTTP calls are. Within an invocation the span is
   * internal, as the host reports the request; elsewhere it is the request.
   */
  inSpan<T>(name: string, work: () => Promise<T>): Promise<T>;
  /** One event an attempt, and its metrics. */
  trackJobRun(event: JobRunEvent): void;
  /** One event for each run that was cut off: it could send nothing itself. */
  trackAbandonedRun(event: AbandonedRunEvent): void;
  /**
   * One event for each job.
   * @param read called only where telemetry is on; its errors are logged
   */
  trackJobStates(read: () => Promise<readonly JobStateEvent[]>): Promise<void>;
  trackException(error: Error, properties: Readonly<Partial<Record<ExceptionProperty, string>>>): void;
  /** Sends what was emitted; ends after `flushTimeout` whether it was sent or not. */
  flush(): Promise<void>;
}

/** How long the end of a run waits for telemetry to be sent. In ms. */
export const flushTimeoutMs = 5_000;

/** Off: databases and loggers that this app does not have; build.ts leaves their packages out. */
const instrumentationOptions = {
  http: { enabled: true },
  azureSdk: { enabled: true },
  ...Object.fromEntries(
    ['mongoDb', 'mySql', 'postgreSql', 'redis', 'redis4', 'bunyan', 'winston'].map((name) => [
      name,
      { enabled: false },
    ]),
  ),
};

/** Without a connection string: emits nothing and loads nothing. */
const noopTelemetry: Telemetry = {
  inInvocation: (_invocation, work) => work(),
  inSpan: (_name, work) => work(),
  trackJobRun: () => undefined,
  trackAbandonedRun: () => undefined,
  trackJobStates: () => Promise.resolve(),
  trackException: () => undefined,
  flush: () => Promise.resolve(),
};

/**
 * Starts Application Insights; without a connection string nothing is sent.
 * @param credential signs in to a resource whose local authentication is off; it needs the role Monitoring Metrics
 *   Publisher ("Microsoft Entra authentication for Application Insights")
 * @param log takes the faults of telemetry itself
 */
export async function startTelemetry(
  connectionString: string | undefined,
  credential: TokenCredential | undefined,
  log: (message: string) => void,
): Promise<Telemetry> {
  if (connectionString === undefined) return noopTelemetry;
  try {
    const { TelemetryClient } = await import('./applicationInsights');
    const client = new TelemetryClient(connectionString, { useGlobalProviders: true });
    client.config.enableAutoCollectConsole = false;
    client.config.enableAutoCollectExternalLoggers = false;
    client.config.enableAutoCollectExceptions = false;
    client.config.enableAutoCollectPerformance = false;
    client.config.enableAutoCollectExtendedMetrics = false;
    client.config.enableAutoCollectRequests = false;
    client.config.enableSendLiveMetrics = false;
    // All of each run: by default the library keeps a few traces a second and drops the rest.
    client.config.azureMonitorOpenTelemetryOptions = {
      instrumentationOptions,
      tracesPerSecond: 0,
      spanProcessors: [operationSpanProcessor],
      logRecordProcessors: [operationLogProcessor],
    };
    if (credential) client.config.aadTokenCredential = credential;
    client.initialize();
    return new ApplicationInsights(client, log);
  } catch (error) {
    log(`Application Insights could not be started; runs go on without telemetry: ${errorText(error)}`);
    return noopTelemetry;
  }
}

class ApplicationInsights implements Telemetry {
  constructor(
    private readonly client: TelemetryClient,
    private readonly log: (message: string) => void,
  ) {}

  /**
   * The library takes over the host's trace too, by a hook that it registers when it starts: within the first invocation
   * of a process that is too late.
   */
  inInvocation<T>({ functionName, traceContext }: Invocation, work: () => Promise<T>): Promise<T> {
    const { traceParent, traceState } = traceContext ?? {};
    let parent = context.active();
    this.#guard(() => {
      parent = propagation.extract(parent, { traceparent: traceParent, tracestate: traceState });
    });
    return context.with(inOperation(parent, functionName), work);
  }

  async inSpan<T>(name: string, work: () => Promise<T>): Promise<T> {
    const operation = activeOperation();
    const parent = operation === undefined ? inOperation(context.active(), name) : context.active();
    const kind = operation === undefined ? SpanKind.SERVER : SpanKind.INTERNAL;
    let span: Span | undefined;
    this.#guard(() => {
      span = trace.getTracer('access-expiry-jobs').startSpan(name, { kind }, parent);
    });
    if (!span) return work();
    const started = span;
    try {
      return await context.with(trace.setSpan(parent, started), work);
    } finally {
      this.#guard(() => started.end());
    }
  }

  trackJobRun(event: JobRunEvent): void {
    this.#guard(() => {
      if (event.status === 'Failed') trace.getActiveSpan()?.setStatus({ code: SpanStatusCode.ERROR });
      this.client.trackEvent({ name: jobRunEvent, properties: toTexts(event) });
      const { jobType } = event;
      const metrics: Readonly<Partial<Record<(typeof jobRunMetrics)[number], number>>> = event;
      for (const name of jobRunMetrics) {
        const value = metrics[name];
        if (value !== undefined) this.client.trackMetric({ name, value, properties: { jobType } });
      }
    });
  }

  trackAbandonedRun(event: AbandonedRunEvent): void {
    this.#guard(() => this.client.trackEvent({ name: abandonedRunEvent, properties: toTexts(event) }));
  }

  async trackJobStates(read: () => Promise<readonly JobStateEvent[]>): Promise<void> {
    try {
      for (const state of await read())
        this.client.trackEvent({ name: jobStateEvent, properties: toTexts(state) });
    } catch (error) {
      this.log(`The states of the jobs could not be sent: ${errorText(error)}`);
    }
  }

  trackException(exception: Error, properties: Readonly<Record<string, string>>): void {
    this.#guard(() => this.client.trackException({ exception, properties: { ...properties } }));
  }

  async flush(): Promise<void> {
    const timeout = new AbortController();
    try {
      await Promise.race([
        this.client.flush(),
        delay(flushTimeoutMs, undefined, { signal: timeout.signal }).then(() => {
          this.log(`Telemetry could not be sent within ${flushTimeoutMs} ms; it is sent later or lost`);
        }),
      ]);
    } catch (error) {
      this.log(`Telemetry could not be sent: ${errorText(error)}`);
    } finally {
      timeout.abort();
    }
  }

  #guard(emit: () => void): void {
    try {
      emit();
    } catch (error) {
      this.log(`Telemetry could not be emitted: ${errorText(error)}`);
    }
  }
}

/** Application Insights keeps the properties of an event as texts. */
function toTexts(event: JobRunEvent | JobStateEvent | AbandonedRunEvent): Record<string, string> {
  return Object.fromEntries(Object.entries(event).map(([name, value]) => [name, String(value)]));
}
