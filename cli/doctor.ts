/**
 * Examines the environment that the settings describe, from the outside in: one line for each finding, with a sign
 * (✓ in order, ! to look at, ✗ failed, – skipped) and what to do. Writes nothing.
 *
 *     npm run doctor
 *
 * Exit code 1 if anything failed.
 */
import { diagnose } from './doctor/doctor';
import { formatFinding } from './doctor/finding';
import { readEnvironment, runCommand } from './environment';

// Whoever reads the first lines alone (| head -1) has gone: end without a word.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') process.exit(1);
});

/** On a terminal, what is waited for is shown in place of the next line, until that is there. */
const isTerminal = process.stdout.isTTY && process.stderr.isTTY;
const clearLine = '\r\u001B[K';
function waitingFor(what: string): void {
  if (isTerminal) process.stderr.write(`${clearLine}… waiting for the ${what}`);
}
function print(line: string): void {
  if (isTerminal) process.stderr.write(clearLine);
  console.log(line);
}

runCommand(async () => {
  const counts = { ok: 0, warning: 0, failed: 0, skipped: 0 };
  for await (const finding of diagnose(readEnvironment(), waitingFor)) {
    counts[finding.status] += 1;
    print(formatFinding(finding));
  }
  print(
    `\n${counts.failed} failed, ${counts.warning} to look at, ${counts.skipped} skipped, ${counts.ok} in order`,
  );
  return counts.failed === 0;
});
