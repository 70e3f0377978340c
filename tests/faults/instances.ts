/** The built app in several processes, all on the servers of one environment. */
import { setTimeout as delay } from 'node:timers/promises';
import { startApp, type App } from '../support/app';
import { useEnvironment } from '../support/arrange';
import type { TestEnvironment } from '../support/environment';

export interface Instances {
  readonly environment: TestEnvironment;
  /** It is killed after the tests. */
  readonly startInstance: () => Promise<App>;
}

export function useInstances(): Instances {
  const apps: App[] = [];
  // Before the environment is closed.
  afterAll(() => Promise.all(apps.map((app) => app.stop('SIGKILL'))));
  const environment = useEnvironment();
  return {
    environment,
    async startInstance() {
      const app = await startApp({ ...environment.environment, REVOCATION_CEILING: '10000' });
      apps.push(app);
      return app;
    },
  };
}

/** In real time, in ms. */
const longestWait = 60_000;

export async function until(what: string, isMet: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + longestWait;
  while (!isMet()) {
    if (Date.now() > giveUpAt) throw new Error(`Waited in vain until ${what}`);
    await delay(2);
  }
}
