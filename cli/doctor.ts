import type { Retry } from '../src/database/database';
import { diagnose } from './doctor/doctor';
import { formatFinding, type Finding } from './doctor/finding';
import { sendTestMessage } from './doctor/testMessage';
import { parseArguments, readEnvironment, runCommand } from './environment';
import { reportRetry } from './progress';

const usage = `Usage: npm run doctor [-- --send-test-to me@example.com]

Examines settings, identity, database, views, email and schedules from the outside in, and says what to correct: one line
for each finding, with a sign (✓ in order, ! to look at, ✗ failed, – skipped). Writes nothing. Reads the settings from the
environment, and from local.settings.json what is not there.

  --send-test-to <address>   also sends a sample mail the way a job does

Exit code 0: nothing failed; 1: something did.`;

/** On a terminal, the next line replaces what is waited for. */
const isTerminal = process.stdout.isTTY && process.stderr.isTTY;
const clearLine = '\r\u001B[K';
function waitingFor(what: string): void {
  if (isTerminal) process.stderr.write(`${clearLine}… waiting for the ${what}`);
}
function reportRetryInPlace(retry: Retry): void {
  if (isTerminal) process.stderr.write(clearLine);
  reportRetry(retry);
}
function print(line: string): void {
  if (isTerminal) process.stderr.write(clearLine);
  console.log(line);
}

async function* findings(): AsyncGenerator<Finding> {
  const { values } = parseArguments({ options: { 'send-test-to': { type: 'string' } } }, usage);
  const environment = readEnvironment();
  yield* diagnose(environment, { waitingFor, onRetry: reportRetryInPlace });
  const recipient = values['send-test-to'];
  if (recipient === undefined) return;
  waitingFor('final status of the test message');
  yield await sendTestMessage(environment, recipient);
}

runCommand(usage, async () => {
  const counts = { ok: 0, warning: 0, failed: 0, skipped: 0 };
  for await (const finding of findings()) {
    counts[finding.status] += 1;
    print(formatFinding(finding));
  }
  print(
    `\n${counts.failed} failed, ${counts.warning} to look at, ${counts.skipped} skipped, ${counts.ok} in order`,
  );
  return counts.failed === 0;
});
