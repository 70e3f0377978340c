/** Runs a built Functions app on this machine: HTTP functions by their routes, timers by their schedules. */
import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { readScheduleZone } from '../../src/config/schedules';
import { listen } from '../loopback';
import { loadApp, readHttpOptions, serveFunction, type ServedFunction } from './app';
import { FunctionsCore, type ProgrammingModel } from './core';
import { createFunctionsServer } from './http';
import { Invoker, timerInput } from './invocation';
import { describeError, type HostLog } from './log';

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
  /** Stops timers and server, waits for invocations, runs the appTerminate hooks, and cuts off what is still running. */
  close(): Promise<void>;
}

/**
 * Loads the app and serves it on 127.0.0.1. One host per process: `@azure/functions` keeps the first it finds.
 * @throws Error if the app is not built, fails while it loads or starts, or the port is taken
 */
export async function startHost({ appDirectory, port, timers, log }: HostOptions): Promise<Host> {
  const core = new FunctionsCore((level, message) => log({ level, message }));
  const model = await startApp(core, appDirectory);
  const options = readHttpOptions(appDirectory);
  const served = [...core.functions.values()].map((one) => serveFunction(one, options.routePrefix, log));
  const invoker = new Invoker(core, model, log);
  const server = createFunctionsServer(served, invoker, options, log);
  const host = { port: await listen(server, port) };
  if (timers) for (const target of served) startTimer(target, invoker, log);
  return {
    ...host,
    async close() {
      for (const { cron } of served) cron?.stop();
      const terminate = (): Promise<void> =>
        core
          .runHooks('appTerminate', {})
          .catch((error: unknown) =>
            log({ level: 'error', message: `appTerminate: ${describeError(error)}` }),
          );
      await stop(server, invoker, terminate, log);
    },
  };
}

async function startApp(core: FunctionsCore, appDirectory: string): Promise<ProgrammingModel> {
  core.supply();
  await loadApp(appDirectory);
  const model = core.programmingModel;
  if (!model || core.functions.size === 0)
    throw new Error(`The app in ${appDirectory} registered no function`);
  return model;
}

/** Runs a timer at each slot, except at one that falls into a run, which is skipped as in Azure. */
function startTimer(target: ServedFunction, invoker: Invoker, log: HostLog): void {
  const { cron, description } = target;
  const { name: functionName, schedule = '' } = description;
  if (!cron) return;
  let running = false;
  cron.schedule(async () => {
    if (running) {
      log({ level: 'warning', functionName, message: 'Slot skipped: a run is still under way' });
      return;
    }
    running = true;
    // The invoker logs a failure.
    await invoker.run(target, timerInput, 'on schedule').catch(() => undefined);
    running = false;
  });
  const { timeZone } = readScheduleZone(process.env);
  const next = cron.nextRun()?.toISOString() ?? 'never';
  log({
    level: 'information',
    functionName,
    message: `Schedule "${schedule}" in ${timeZone}, next run ${next}`,
  });
}

async function stop(
  server: Server,
  { running }: Invoker,
  terminate: () => Promise<void>,
  log: HostLog,
): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  await settlesWithin(stopTimesMs.drain, Promise.allSettled(running));
  log({ level: 'information', message: `Stopping; ${running.size} invocations are under way` });
  if (!(await settlesWithin(stopTimesMs.terminate, terminate())))
    log({ level: 'error', message: `${running.size} invocations are cut off` });
  // The last answers may still be on their way.
  setTimeout(() => server.closeAllConnections(), running.size > 0 ? 0 : 1_000).unref();
  await closed;
}

function settlesWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  return Promise.race([work.then(() => true), delay(ms, false)]);
}
