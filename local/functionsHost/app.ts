/** Loading a built app and reading what it registered. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Cron } from 'croner';
import { parseNcrontab } from '../../src/config/ncrontab';
import { readScheduleZone } from '../../src/config/schedules';
import type { Binding, RegisteredFunction } from './core';
import { describeError, type HostLog } from './log';
import { createRoute } from './routes';

/** A function that the app registered, with what it takes to run it: HTTP has a route, a timer a schedule. */
export interface ServedFunction {
  /** As GET /admin/functions lists it. */
  readonly description: {
    readonly name: string;
    /** The type of its trigger: httpTrigger, timerTrigger, … */
    readonly trigger: string;
    /** HTTP: the path, with its parameters in braces. */
    readonly route?: string;
    /** HTTP: the methods in upper case. */
    readonly methods?: readonly string[];
    readonly schedule?: string;
    /** Why it cannot run; the others are served. */
    readonly error?: string;
  };
  readonly registered: RegisteredFunction;
  readonly triggerName: string;
  readonly route?: URLPattern;
  readonly cron?: Cron;
}

/** Imports the entry file, `main` of package.json. What it throws is thrown on. */
export async function loadApp(appDirectory: string): Promise<void> {
  const { main = '' } = readJson(join(appDirectory, 'package.json')) as { main?: string };
  const entry = join(appDirectory, main);
  if (!existsSync(entry)) throw new Error(`The app is not built: there is no ${entry}`);
  await import(pathToFileURL(entry).href);
}

/** `extensions.http` of host.json. */
export interface HttpOptions {
  readonly routePrefix: string;
  /** Requests that functions work on at once; others wait. */
  readonly maxConcurrentRequests: number;
  /** Those and the ones that wait; more are answered with 429. */
  readonly maxOutstandingRequests: number;
}

export function readHttpOptions(appDirectory: string): HttpOptions {
  const host = readJson(join(appDirectory, 'host.json')) as { extensions?: { http?: object } };
  return {
    routePrefix: 'api',
    maxConcurrentRequests: Infinity,
    maxOutstandingRequests: Infinity,
    ...host.extensions?.http,
  };
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new Error(`${file} cannot be read: ${describeError(cause)}`, { cause });
  }
}

/** Reads a function's trigger. One that cannot be served puts this function in error. */
export function serveFunction(
  registered: RegisteredFunction,
  routePrefix: string,
  log: HostLog,
): ServedFunction {
  const { name, bindings } = registered.metadata;
  const [triggerName = '', binding] =
    Object.entries(bindings).find(([, { type }]) => /trigger$/i.test(type)) ?? [];
  const described = { name, trigger: binding?.type ?? 'none' };
  try {
    const { description, ...rest } = readTrigger(routePrefix, binding);
    return { registered, triggerName, ...rest, description: { ...described, ...description } };
  } catch (cause) {
    const error = `The function ${name} is in error: ${cause instanceof Error ? cause.message : String(cause)}`;
    log({ level: 'error', functionName: name, message: error });
    return { registered, triggerName, description: { ...described, error } };
  }
}

function readTrigger(routePrefix: string, binding: Binding | undefined) {
  switch (binding?.type) {
    case 'httpTrigger': {
      const { route: path, methods } = binding as Binding & { route: string; methods: string[] };
      const route = `/${routePrefix}/${path}`;
      return { route: createRoute(route), description: { route, methods } };
    }
    case 'timerTrigger': {
      const { schedule } = binding as Binding & { schedule: string };
      const { cron } = parseNcrontab(schedule, readScheduleZone(process.env).timeZone);
      return { cron, description: { schedule } };
    }
    default:
      throw new Error(
        `this host runs HTTP and timer functions, not ${binding?.type ?? 'one without a trigger'}`,
      );
  }
}
