import { systemClock } from '../../src/clock';
import type { Settings } from '../../src/config/settings';
import { jobs } from '../../src/jobs/catalogue';
import { readJobState } from '../../src/jobs/jobStates';
import { runsForState, stateWords } from '../../src/jobs/judgeJob';
import type { ExaminedDatabase } from './database';
import { failed, ok, warning, type Finding } from './finding';

/** The state of each job as the status page shows it, with its reason. */
export async function checkJobStates(
  { session }: ExaminedDatabase,
  settings: Pick<Settings, 'schedules' | 'scheduleZone' | 'appService' | 'schedulesReadAt' | 'problems'>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const job of jobs) {
    const { state, stateReason } = await readJobState(session, job, settings, runsForState, systemClock);
    const subject = `job ${job.type}`;
    const message = `${stateWords[state]}. ${stateReason}`;
    const advice = `docs/operating.md, "State ${stateWords[state]}", says what to do`;
    if (state === 'Misconfigured' || state === 'Overdue' || state === 'Failed')
      findings.push(failed(subject, message, advice));
    else findings.push(state === 'Attention' ? warning(subject, message, advice) : ok(subject, message));
  }
  return findings;
}
