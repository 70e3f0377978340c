/** The mutants and limits, and the invariant that each has to break, are those of the tables in docs/protocol.md. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import pMap from 'p-map';
import { parseArguments, runCommand } from '../cli/environment';

/** Each check uses one core. */
const concurrency = 2;
const memoryLimitMb = 2048;
/** Deeper than any order of events. */
const maxDepth = 10_000;

interface Check {
  readonly model: string;
  readonly mutant?: string;
  /** Runs before the last one; one makes a shorter trail. */
  readonly runs?: 1 | 2;
  readonly lockingReads?: true;
  /** Looks for an order of events that never ends, instead of one that breaks an invariant. */
  readonly endless?: true;
}

/** What has to hold. */
const protocol: readonly Check[] = [
  { model: 'lock' },
  { model: 'lock', endless: true },
  { model: 'revocation' },
  { model: 'revocation', lockingReads: true },
  { model: 'notification' },
];

/** The protocol without a safeguard, or with a promise that it does not make. */
interface Mutant {
  readonly mutant: string;
  readonly model: string;
  /** The invariant that has to break. */
  readonly breaks: string;
}

const row = /^\| `([A-Z_]+)` *\| (\w+) *\| `(\w+)`/gm;
const mutants: readonly Mutant[] = [
  ...readFileSync(join(__dirname, '../docs/protocol.md'), 'utf8').matchAll(row),
].map(([, mutant = '', model = '', breaks = '']) => ({ mutant, model, breaks }));

interface Result {
  /** The invariant that does not hold; absent if all hold. */
  readonly broken?: string;
  /** The order of events that breaks it, one line a step. */
  readonly trail: readonly string[];
  readonly states: number;
  readonly seconds: number;
}

/**
 * A mutant is searched breadth first, so that its trail is the shortest; depth first takes less memory.
 * @throws Error if the model is not valid or the checker has not visited every state
 */
async function check({ model, mutant, runs = 2, lockingReads, endless }: Check): Promise<Result> {
  const startedAt = performance.now();
  const cwd = mkdtempSync(join(tmpdir(), 'access-expiry-model-'));
  const file = `${model}.pml`;
  const definitions = [
    `-DMUTANTS=${mutants.map((one) => one.mutant).join(',')}`,
    `-DMUTANT=${mutant ?? 'none'}`,
    `-DRUNS=${runs}`,
    `-DLOCKING_READS=${lockingReads ? 1 : 0}`,
  ];
  try {
    cpSync(join(__dirname, '../model'), cwd, { recursive: true });
    const generated = await tool('spin', [...definitions, '-a', file], cwd);
    if (!existsSync(join(cwd, 'pan.c'))) throw new Error(`Spin does not accept ${file}:\n${generated}`);
    const search = endless ? ['-DNP'] : mutant ? ['-DSAFETY', '-DBFS'] : ['-DSAFETY'];
    // Without partial order reduction: every step touches what all sessions see, so there is nothing to reduce.
    const options = ['-DNOREDUCE', `-DMEMLIM=${memoryLimitMb}`, ...search];
    // A mutant is found sooner than an optimised checker is compiled.
    await tool('gcc', ['-w', mutant ? '-O0' : '-O2', ...options, '-o', 'pan', 'pan.c'], cwd);
    const output = await tool('./pan', [`-m${maxDepth}`, ...(endless ? ['-l'] : [])], cwd);
    const errors = Number(/errors: (\d+)/.exec(output)?.[1]);
    const incomplete = /Search not completed|max search depth too small|reached -DMEMLIM|out of memory/.test(
      output,
    );
    if (Number.isNaN(errors) || (errors === 0 && incomplete))
      throw new Error(`The checker has not visited every state of ${file}:\n${output}`);
    const trail = errors === 0 ? [] : await readTrail(file, definitions, cwd);
    // Without a name: a session that can never take its next step, or that never stops taking steps.
    const named = /^BROKEN (\w+)$/.exec(trail.at(-1) ?? '')?.[1];
    return {
      ...(errors > 0 && { broken: named ?? 'lockCanBeTaken' }),
      trail: named === undefined ? trail : trail.slice(0, -1),
      states: Number(/(\d+) states, stored/.exec(output)?.[1]),
      seconds: (performance.now() - startedAt) / 1000,
    };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** The lines that the model prints, step by step. */
async function readTrail(file: string, definitions: readonly string[], cwd: string): Promise<string[]> {
  const output = await tool('spin', ['-t', '-T', ...definitions, file], cwd);
  return output
    .split('\n')
    .map((line) => (line.includes('START OF CYCLE') ? 'from here on, again and again:' : line.trim()))
    .filter((line) => /^(run \d|the |all |cancelRun|from here|BROKEN)/.test(line));
}

/** Runs a program and returns what it printed. Spin and the checker exit with a code other than 0 on an error found. */
async function tool(name: string, parameters: readonly string[], cwd: string): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(name, parameters, { cwd, maxBuffer: 2 ** 26 });
    return stdout + stderr;
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    if (code === 'ENOENT')
      throw new Error(`${name} is not installed: apt-get install spin gcc libc6-dev`, { cause: error });
    if (name === 'gcc' || typeof code !== 'number') throw error;
    return stdout + stderr;
  }
}

/** Looks for what a mutant breaks, with one run before the last one and, if nothing breaks, with two. */
async function checkMutant({ mutant, model }: Mutant): Promise<Result> {
  const result = await check({ model, mutant, runs: 1 });
  if (result.broken !== undefined) return result;
  const endless = model === 'lock' ? await check({ model, mutant, runs: 1, endless: true }) : result;
  return endless.broken === undefined ? check({ model, mutant }) : endless;
}

async function checkAll(): Promise<boolean> {
  const held = await pMap(
    protocol,
    async (item) => {
      const { broken, states, seconds, trail } = await check(item);
      const how = `${item.lockingReads ? ', locking reads' : ''}${item.endless ? ', no endless order' : ''}`;
      console.log(
        `${item.model}${how}: ${broken ? `BREAKS ${broken}` : 'holds'}, ${states} states, ${seconds.toFixed(1)} s`,
      );
      for (const line of trail) console.log(`  ${line}`);
      return broken === undefined;
    },
    { concurrency },
  );
  const caught = await pMap(
    mutants,
    async (item) => {
      const { broken = 'nothing', trail } = await checkMutant(item);
      const isCaught = broken === item.breaks;
      console.log(
        `${item.mutant} breaks ${broken}${isCaught ? '' : `, EXPECTED ${item.breaks}`}, ${trail.length} steps`,
      );
      return isCaught;
    },
    { concurrency },
  );
  const isExpected = [...held, ...caught].every(Boolean);
  console.log(isExpected ? 'The protocol holds, and each mutant is caught.' : 'NOT as expected: see above.');
  return isExpected;
}

async function printTrail(name: string): Promise<boolean> {
  const mutant = mutants.find((one) => one.mutant === name);
  if (!mutant)
    throw new Error(`Unknown mutant: ${name}. Known: ${mutants.map((one) => one.mutant).join(', ')}.`);
  const { broken = 'nothing', trail } = await checkMutant(mutant);
  for (const [index, line] of trail.entries()) console.log(`${String(index + 1).padStart(4)}  ${line}`);
  console.log(`\nBroken: ${broken}, expected: ${mutant.breaks}.`);
  return broken === mutant.breaks;
}

const usage = `Usage: npm run model [-- --trail MUTANT]

Checks the protocol of the jobs, model/*.pml, in every order of events with the model checker Spin: what holds, and what
breaks without each safeguard. --trail prints the order of events in which a mutant breaks its invariant.`;

runCommand(usage, () => {
  const { trail } = parseArguments({ options: { trail: { type: 'string' } } }, usage).values;
  return trail === undefined ? checkAll() : printTrail(trail);
});
