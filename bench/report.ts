/** What a row of the benchmark is, and the table and JSON that show the rows. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname } from 'node:path';

/** How often each side of a row is measured, unless the row says otherwise. */
export const runs = 5;

/** What is compared, and what the figure must be: the ratio of the two medians, by default. */
interface Description {
  readonly what: string;
  readonly against: string;
  /** By default ms. */
  readonly unit?: string;
  readonly figure?: 'ratio' | 'difference' | 'measured';
  readonly atMost?: number;
  readonly atLeast?: number;
}

export type Measure = () => Promise<number>;

/** A row to be measured. */
export interface Comparison extends Description {
  readonly measured: Measure;
  readonly reference: Measure;
  readonly times?: number;
}

/** A row with its samples. */
export interface Row extends Description {
  readonly measured: readonly number[];
  readonly reference: readonly number[];
}

/** Measures row by row, and both sides of a row in turns, so that a machine that slows down slows both. */
export async function compare(comparisons: readonly Comparison[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { measured, reference, times = runs, ...description } of comparisons) {
    const row = { ...description, measured: [] as number[], reference: [] as number[] };
    for (let run = 0; run < times; run++) {
      row.reference.push(await reference());
      row.measured.push(await measured());
    }
    rows.push(row);
  }
  return rows;
}

/** The samples of one measurement. */
export async function repeat(measure: Measure, times = runs): Promise<number[]> {
  const samples: number[] = [];
  for (let run = 0; run < times; run++) samples.push(await measure());
  return samples;
}

/** Writes the rows as JSON and prints them as a Markdown table. */
export function report(rows: readonly Row[], server: string, file: string): void {
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), Node.js ${process.version}, SQL: ${server}`;
  const results = rows.map((row) => ({ ...row, ...judge(row) }));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify({ measuredAt: new Date(), machine, results }, undefined, 2));

  console.log(`\n${machine}; min / median / max of all runs.\n`);
  console.log('| what | measured | against | measured | figure | goal | reached |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const row of results) {
    const sides = [row.what, range(row.measured, row.unit), row.against, range(row.reference, row.unit)];
    console.log(`| ${[...sides, format(row.value), row.goal, row.reached].join(' | ')} |`);
  }
}

function judge({ figure = 'ratio', atMost, atLeast, unit = 'ms', measured, reference }: Row) {
  const [product, other] = [median(measured), median(reference)];
  const value = { ratio: product / other, difference: product - other, measured: product }[figure];
  const goal = atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`;
  return {
    value,
    goal: { ratio: goal, difference: `${goal} ${unit} more`, measured: `${goal} ${unit}` }[figure],
    reached: value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity) ? 'yes' : 'no',
  };
}

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
}

function range(samples: readonly number[], unit = 'ms'): string {
  const values = [Math.min(...samples), median(samples), Math.max(...samples)];
  return `${values.map(format).join(' / ')} ${unit}`;
}

/** Three digits, or all before the point. */
function format(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}
