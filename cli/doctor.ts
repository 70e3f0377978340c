/**
 * Examines the environment that the settings describe, from the outside in: one line for each finding, with a mark
 * (✓ in order, ! to look at, ✗ failed, – skipped) and what to do. Writes nothing.
 *
 *     npm run doctor
 *
 * Exit code 1 if anything failed.
 */
import { diagnose } from './doctor/doctor';
import { formatFinding } from './doctor/finding';
import { readEnvironment, runCommand } from './environment';

runCommand(async () => {
  const counts = { ok: 0, warning: 0, failed: 0, skipped: 0 };
  for await (const finding of diagnose(readEnvironment())) {
    counts[finding.status] += 1;
    console.log(formatFinding(finding));
  }
  console.log(
    `\n${counts.failed} failed, ${counts.warning} to look at, ${counts.skipped} skipped, ${counts.ok} in order`,
  );
  return counts.failed === 0;
});
