/** Runs with partly wrong settings. */
import { readSettings, SettingsError } from '../../src/config/settings';
import { jobs } from '../../src/jobs/catalogue';
import { useEnvironment } from '../support/arrange';
import { finished } from '../support/environment';

const environment = useEnvironment();

test.each([
  ['EMAIL_SENDER_ADDRESS', 'notification'],
  ['NOTIFICATION_LEAD_DAYS', 'notification'],
  ['REVOCATION_CEILING', 'revocation'],
])(
  'with a wrong %s each %s emits a Failed JobRun event and inserts no row; the other jobs run',
  async (name, kind) => {
    for (const job of jobs) {
      const services = {
        ...environment.services(),
        settings: readSettings({ ...environment.environment, [name]: 'wrong' }),
      };
      if (job.kind !== kind) {
        expect(finished(await environment.run(job, services))).toMatchObject({ status: 'Completed' });
        continue;
      }
      await expect(environment.run(job, services)).rejects.toThrow(SettingsError);
      expect(services.telemetry.events).toMatchObject([
        { jobType: job.type, status: 'Failed', errorName: 'SettingsError' },
      ]);
      expect(services.telemetry.exceptions).toHaveLength(1);
      expect(services.telemetry.flushes).toBe(1);
      expect(await environment.runs(job)).toEqual([]);
    }
  },
);
