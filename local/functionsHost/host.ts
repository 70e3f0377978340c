/** Runs a built Functions app on this machine: HTTP functions by their routes, timers by their schedules. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { readScheduleZone } from '../../src/config/schedules';
import { loadApp, readHttpOptions, serveFunction, type HostedFunction } from './app';
import { FunctionsCore } from './core';
import { createFunctionsServer } from './http';
import { Invoker, timerInput } from './invocation';
import { describeError, type HostLog } from './log';
import { startTimer } from './schedule';

/**
 * How the Functions host stops: it waits for invocations, then gives the worker a time for its appTerminate hooks, then
 * kills it (azure-functions-host, DrainModeManager and GrpcWorkerChannel). In ms.
 */
const stopTimesMs = { drain: 10_000, terminate: 5_000 };

export interface HostOptions {
  /** The directory of package.json (whose `main` names the entry files) and host.json. */
  readonly appDirectory: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** false: timers run by hand only. */
  readonly timers: boolean;
  readonly log: HostLog;
}

export interface Host {
  readonly port: number;
  readonly functions: readonly HostedFunction[];
  /** Runs a timer function now and waits for its end. Throws what the function throws. */
  invokeTimer(name: string): Promise<void>;
  /** Stops the timers and the server, waits for invocations, then runs the appTerminate hooks; cuts off what is left. */
  close(): Promise<void>;
}

/**
 * Loads the app and serves it on 127.0.0.1. One host per process: `@azure/functions` keeps the first it finds.
 * @throws Error if the app is not built, fails while it loads or starts, or the port is taken
 */
export async function startHost({ appDirectory, port, timers, log }: HostOptions): Promise<Host> {
  const core = new FunctionsCore((level, message) => log({ level, message }));
  core.supply();
  await loadApp(appDirectory);
  core.closeRegistration();
  const model = core.programmingModel;
  if (!model || core.functions.size === 0) {
    throw new Error(`The app in ${appDirectory} registered no function`);
  }
  const appContext = (): object => ({
    functionAppDirectory: appDirectory,
    hookData: {},
    appHookData: core.appHookData,
  });
  await core.runHooks('appStart', appContext());
  const { HttpUri: streaming } = await model.getCapabilities({});
  if (streaming) throw new Error('The app turns HTTP streaming on, which this host does not serve');

  const { routePrefix, ...limits } = readHttpOptions(appDirectory);
  const served = [...core.functions.values()].map((registered) =>
    serveFunction(registered, routePrefix, log),
  );
  const invoker = new Invoker(core, model, log);
  const server = createFunctionsServer(served, invoker, limits, log);
  await listen(server, port);
  if (timers) {
    for (const target of served) {
      const { cron, description } = target;
      if (!cron) continue;
      const functionName = description.name;
      startTimer(
        cron,
        // The invoker logs a failure.
        () => invoker.run(target, timerInput, 'on schedule').then(ignore, ignore),
        () => log({ level: 'warning', functionName, message: 'Slot skipped: a run is still under way' }),
      );
      const next = cron.nextRun()?.toISOString() ?? 'never';
      const message = `Schedule "${description.schedule ?? ''}" in ${readScheduleZone(process.env).timeZone}, next run ${next}`;
      log({ level: 'information', functionName, message });
    }
  }

  return {
    port: (server.address() as AddressInfo).port,
    functions: served.map(({ description }) => description),
    async invokeTimer(name) {
      const target = served.find(({ cron, description }) => cron && description.name === name);
      if (!target) throw new Error(`There is no timer function ${name}`);
      await invoker.run(target, timerInput, 'by hand');
    },
    async close() {
      for (const { cron } of served) cron?.stop();
      const closed = new Promise((resolve) => server.close(resolve));
      await settlesWithin(stopTimesMs.drain, Promise.allSettled(invoker.running));
      log({ level: 'information', message: `Stopping; ${invoker.running.size} invocations are under way` });
      const hooks = core
        .runHooks('appTerminate', appContext())
        .catch((error: unknown) => log({ level: 'error', message: `appTerminate: ${describeError(error)}` }));
      if (!(await settlesWithin(stopTimesMs.terminate, hooks)))
        log({ level: 'error', message: `${invoker.running.size} invocations are cut off` });
      // The last answers may still be on their way.
      const answersMs = invoker.running.size > 0 ? 0 : 1_000;
      setTimeout(() => server.closeAllConnections(), answersMs).unref();
      await closed;
    },
  };
}

function ignore(): void {
  return undefined;
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

async function settlesWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  const timeout = new AbortController();
  const settled = await Promise.race([
    work.then(() => true),
    delay(ms, false, { signal: timeout.signal }).catch(() => false),
  ]);
  timeout.abort();
  return settled;
}
