/** Loading a built app and reading what it registered. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Cron } from 'croner';
import { parseNcrontab } from '../../src/config/ncrontab';
import { readScheduleZone } from '../../src/config/schedules';
import type { RegisteredFunction } from './core';
import { describeError, type HostLog } from './log';
import { createRoute, type Route } from './routes';
import { resolveSettings } from './schedule';

/** A function that the app registered. One that cannot run says why in `error`; the others are served. */
export interface HostedFunction {
  readonly name: string;
  /** The type of its trigger: httpTrigger, timerTrigger, … */
  readonly trigger: string;
  /** HTTP: the path, with its parameters in braces. */
  readonly route?: string;
  /** HTTP: the methods in upper case. */
  readonly methods?: readonly string[];
  /** Timer: the schedule with its settings resolved. */
  readonly schedule?: string;
  readonly error?: string;
}

/** A function with what it takes to run it: HTTP has a path, a timer a schedule. */
export interface ServedFunction {
  readonly description: HostedFunction;
  readonly registered: RegisteredFunction;
  readonly triggerName: string;
  readonly path?: Route;
  readonly cron?: Cron;
}

/** Imports the entry files that package.json `main` names (a glob). What they throw is thrown on. */
export async function loadApp(appDirectory: string): Promise<void> {
  const { main } = readJson(join(appDirectory, 'package.json')) as { main?: string };
  if (!main) throw new Error(`${join(appDirectory, 'package.json')} has no "main"`);
  const entries = globSync(main, { cwd: appDirectory }).sort();
  if (entries.length === 0) throw new Error(`The app is not built: there is no ${join(appDirectory, main)}`);
  for (const entry of entries) await import(pathToFileURL(join(appDirectory, entry)).href);
}

/** `extensions.http` of host.json. */
export interface HttpOptions {
  /** The prefix of all HTTP routes. */
  readonly routePrefix: string;
  /** Requests that functions work on at once; others wait. */
  readonly maxConcurrentRequests: number;
  /** The same with those that wait; more are answered with 429. */
  readonly maxOutstandingRequests: number;
}

export function readHttpOptions(appDirectory: string): HttpOptions {
  const file = join(appDirectory, 'host.json');
  if (!existsSync(file)) throw new Error(`There is no ${file}`);
  const host = readJson(file) as { extensions?: { http?: Partial<HttpOptions> } };
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

/** Reads a function's trigger. A route or schedule that cannot be served puts this one function in error. */
export function serveFunction(
  registered: RegisteredFunction,
  routePrefix: string,
  log: HostLog,
): ServedFunction {
  const { name, bindings } = registered.metadata;
  const found = Object.entries(bindings).find(([, { type }]) => type.toLowerCase().endsWith('trigger'));
  const [triggerName, binding] = found ?? ['', undefined];
  const trigger = binding?.type ?? 'none';
  const common = { registered, triggerName };
  try {
    if (binding?.type === 'httpTrigger') {
      const path = createRoute(routePrefix, textOption(binding.route) ?? name);
      const methods = (binding.methods as string[] | undefined) ?? ['GET', 'POST'];
      const description = {
        name,
        trigger,
        route: path.template,
        methods: methods.map((method) => method.toUpperCase()),
      };
      return { ...common, path, description };
    }
    if (binding?.type === 'timerTrigger') {
      const schedule = resolveSettings(textOption(binding.schedule) ?? '', process.env);
      const { cron } = parseNcrontab(schedule, readScheduleZone(process.env).timeZone);
      return { ...common, cron, description: { name, trigger, schedule } };
    }
    throw new Error(`this host runs HTTP and timer functions, not ${trigger}`);
  } catch (cause) {
    const error = `The function ${name} is in error: ${cause instanceof Error ? cause.message : String(cause)}`;
    log({ level: 'error', functionName: name, message: error });
    return { ...common, description: { name, trigger, error } };
  }
}

function textOption(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
