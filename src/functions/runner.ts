import { app, type InvocationContext } from '@azure/functions';
import { createShutdown, type Shutdown } from '../clock';
import type { Job } from '../jobs/catalogue';
import type { RunOptions, RunResult } from '../jobs/runJob';
import type { Services } from '../services';
import { log } from './log';

let services: Promise<Services> | undefined;

/**
 * The services that runs use, created on first use and cached; failures are not cached. Loads the code that they need
 * and logs once what is wrong with the settings.
 */
export async function getServices(): Promise<Services> {
  services ??= createLoggedServices();
  try {
    return await services;
  } catch (error) {
    services = undefined;
    throw error;
  }
}

async function createLoggedServices(): Promise<Services> {
  const [{ createServices }, { SettingsError }] = await Promise.all([
    import('../services'),
    import('../config/settings'),
  ]);
  const warn = (message: string): void => log(message, 'warning');
  const created = await createServices(process.env, warn);
  const { problems } = created.settings;
  if (problems.length > 0) warn(new SettingsError(problems).message);
  return created;
}

/** Does `work` as part of an invocation: what it emits belongs to the host's operation, from a cold start on. */
export async function inInvocation<T>(context: InvocationContext, work: () => Promise<T>): Promise<T> {
  const { telemetry } = await getServices();
  return telemetry.inInvocation(context, work);
}

const { shutdown, begin: beginShutdown } = createShutdown();
const running = new Set<Promise<unknown>>();

/** Runs a job so that a shutdown of the app stops it early and waits until its row is finished. */
export async function runTracked(
  job: Job,
  options: Pick<RunOptions, 'trigger' | 'operator'>,
): Promise<RunResult> {
  return tracked(async () => {
    const [{ runJob }, theServices] = await Promise.all([import('../jobs/runJob'), getServices()]);
    return runJob(theServices, job, { ...options, shutdown, log });
  });
}

/** Does work that writes so that a shutdown of the app stops it early and waits for its end. */
export async function tracked<T>(work: (shutdown: Shutdown) => Promise<T>): Promise<T> {
  const result = work(shutdown);
  running.add(result);
  try {
    return await result;
  } finally {
    running.delete(result);
  }
}

/** Stops what is under way and waits for its end; skipped by the platform when it kills the process. */
export function registerShutdown(): void {
  app.hook.appTerminate(async () => {
    beginShutdown();
    await Promise.allSettled(running);
  });
}
