/** Statistics of measured runs, and the table and JSON that tell them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname } from 'node:path';

/** What was measured in each run, in one unit. */
export type Samples = readonly number[];

/** Runs of what is measured, where nothing else is said. */
export const runs = 5;

/** One ratio: `measured` is what must be reached, `against` what it is set against. */
export interface Row {
  readonly what: string;
  readonly against: string;
  /** ms, MB, grants/s … */
  readonly unit: string;
  readonly measured: Samples;
  readonly reference: Samples;
  /** From the two medians to the figure that is judged. By default measured / reference. */
  readonly figure?: (measured: number, reference: number) => number;
  readonly goal: Goal;
  /** How it was measured, or why it is not reached. */
  readonly note?: string;
}

/** What the figure must be; `informative` is measured to explain another row and judged nowhere. */
export type Goal =
  { readonly atMost: number; readonly unit?: string } | { readonly atLeast: number } | 'informative';

interface Statistics {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function statistics(samples: Samples): Statistics {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? NaN;
  const middle = sorted.length / 2;
  const median = sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2;
  return { min: at(0), median, max: at(sorted.length - 1) };
}

/** Repeats a measurement. */
export async function repeat(measure: () => Promise<number>, times = runs): Promise<number[]> {
  const samples: number[] = [];
  for (let run = 0; run < times; run++) samples.push(await measure());
  return samples;
}

/** Measures two things in turns, so that a machine that grows slower meets both. */
export async function sideBySide(
  measured: () => Promise<number>,
  reference: () => Promise<number>,
  times = runs,
): Promise<{ measured: number[]; reference: number[] }> {
  const samples = { measured: [] as number[], reference: [] as number[] };
  for (let run = 0; run < times; run++) {
    samples.reference.push(await reference());
    samples.measured.push(await measured());
  }
  return samples;
}

/** Writes the rows as JSON and prints them as a table in Markdown. */
export function report(rows: readonly Row[], server: string, file: string): void {
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.version}, SQL: ${server}`;
  const results = rows.map((row) => {
    const measured = { ...statistics(row.measured), runs: row.measured };
    const reference = { ...statistics(row.reference), runs: row.reference };
    const figure = (row.figure ?? ((a, b) => a / b))(measured.median, reference.median);
    return { ...row, measured, reference, figure, reached: reached(figure, row.goal) };
  });
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify({ measuredAt: new Date(), machine, results }, undefined, 2));

  console.log(`\n${machine}; min / median / max of all runs.\n`);
  console.log('| what | measured | against | measured | figure | goal | reached |');
  console.log('|---|---|---|---|---|---|---|');
  for (const { what, against, unit, measured, reference, figure, goal, reached } of results) {
    const cells = [what, `${range(measured)} ${unit}`, against, `${range(reference)} ${unit}`];
    console.log(`| ${[...cells, format(figure), describeGoal(goal), reached].join(' | ')} |`);
  }
  console.log('');
  for (const { what, against, note } of results)
    if (note) console.log(`- ${what}, against ${against}: ${note}`);
}

function reached(figure: number, goal: Goal): 'yes' | 'no' | '–' {
  if (goal === 'informative') return '–';
  return ('atMost' in goal ? figure <= goal.atMost : figure >= goal.atLeast) ? 'yes' : 'no';
}

function describeGoal(goal: Goal): string {
  if (goal === 'informative') return '–';
  return 'atMost' in goal
    ? `at most ${goal.atMost}${goal.unit ? ` ${goal.unit}` : ''}`
    : `at least ${goal.atLeast}`;
}

function range({ min, median, max }: Statistics): string {
  return [min, median, max].map(format).join(' / ');
}

/** Three digits, or all before the point. */
function format(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}
