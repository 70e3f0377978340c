import type { Cron } from 'croner';

/**
 * Puts the app settings named between percent signs into a schedule, as the Functions host does.
 * @throws Error naming a setting that is missing
 */
export function resolveSettings(text: string, settings: NodeJS.ProcessEnv): string {
  return text.replace(/%([^%]+)%/g, (_, name: string) => {
    const value = settings[name];
    if (value === undefined) throw new Error(`the setting ${name} is missing`);
    return value;
  });
}

/** Starts a timer: `run` at each slot, except at one that falls into a run, which is skipped as in Azure. */
export function startTimer(cron: Cron, run: () => Promise<void>, onSkipped: () => void): void {
  let running = false;
  cron.schedule(async () => {
    if (running) {
      onSkipped();
      return;
    }
    running = true;
    await run().finally(() => {
      running = false;
    });
  });
}
