/** A run that exceeds functionTimeout ends its whole worker: the waits of a run are shorter. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultStatementTimeoutMs } from '../../src/database/database';
import { connectTimeoutMs, slowFactor } from '../../src/database/session';
import { defaultTimings } from '../../src/email/emailClient';
import { finishingGraceMs, recordingGraceMs, stateBudgetMs, timeBudgetsMs } from '../../src/jobs/budgets';
import { flushTimeoutMs } from '../../src/telemetry/telemetry';

const minute = 60_000;

const { functionTimeout } = JSON.parse(readFileSync(join(__dirname, '../../host.json'), 'utf8')) as {
  functionTimeout: string;
};
const [hours = 0, minutes = 0, seconds = 0] = functionTimeout.split(':').map(Number);
const functionTimeoutMs = (hours * 60 + minutes) * minute + seconds * 1000;

/** A statement that begins at the last moment, on a new session. */
const lastStatementMs = connectTimeoutMs + defaultStatementTimeoutMs;
/** After the row is finished. */
const telemetryMs = stateBudgetMs + lastStatementMs + flushTimeoutMs;
const rowMs = finishingGraceMs + lastStatementMs;

test.each([
  ['a slow statement', connectTimeoutMs + slowFactor * defaultStatementTimeoutMs],
  [
    'a message, its look-up and its record',
    // The call, the look-up after it, and the watch over an accepted one.
    2 * defaultTimings.callMs +
      defaultTimings.watchMs +
      defaultTimings.callMs +
      recordingGraceMs +
      lastStatementMs,
  ],
])('%s, begun as the time budget ends, leaves a minute before the functionTimeout', (_, lastWorkMs) => {
  for (const budget of Object.values(timeBudgetsMs))
    expect(budget + lastWorkMs + rowMs + telemetryMs).toBeLessThanOrEqual(functionTimeoutMs - minute);
});
