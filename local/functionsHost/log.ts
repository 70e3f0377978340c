import type { LogLevel } from './core';

export interface HostLogEntry {
  readonly level: LogLevel;
  /** The function that logged; absent for the host itself. */
  readonly functionName?: string;
  readonly message: string;
}

export type HostLog = (entry: HostLogEntry) => void;

/** An error with its stack, for a log. */
export function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
