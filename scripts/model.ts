/**
 * Checks the protocol of the jobs in every order of events: model/*.pml with the model checker Spin.
 *
 *   npm run model                      what holds, and which mutant breaks what
 *   npm run model -- --trail MUTANT    the order of events by which a mutant breaks it
 *
 * Exits with 1 if an invariant does not hold, or if a mutant (the protocol without one of its safeguards) is not caught by
 * the invariant that the safeguard is for. docs/protocol.md explains the model.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { isAskedForHelp } from '../cli/environment';

const run = promisify(execFile);

/** Checks at a time; each uses one core. */
const concurrency = 2;
/** In MB; the checker gives up beyond it. */
const memoryLimit = 2048;
/** Deeper than any order of events. */
const maxDepth = 10_000;

const invariants = {
  oneRunInProgress: 'At most one run of a job type is in progress.',
  endedRunStays: 'A run that has ended stays as it was ended: nobody ends it again.',
  lockCanBeTaken:
    'The lock can always be taken again, whatever has died, and every order of events comes to an end.',
  countIsRows: 'After every commit, Processed_Count is the number of rows that the run has written.',
  lostLockWritesNothing: 'A run that has lost its lock commits no revocation.',
  oneRevocation:
    'Once all is quiet and one more run has ended, each expired grant has exactly one revocation for its end; at no time has a grant two for one end, or one that it is not due.',
  acceptedIsRecorded:
    'Once all is quiet and one more run has ended, each message that the service has accepted is recorded, unless its grant was renewed meanwhile.',
  recordedIsAccepted: 'Nothing is recorded that the service has not accepted.',
  recordedOnce: 'A run records a message once.',
  sameOperationId:
    'A message that goes out again does so under the same operation id, also where it looks different by then.',
} as const;
type Invariant = keyof typeof invariants;

interface Check {
  readonly model: 'lock' | 'revocation' | 'notification';
  /** Definitions that the model reads; model/jobRun.pml explains them. */
  readonly switches?: readonly string[];
  /** Looks for an order of events that never ends, instead of one that breaks an invariant. */
  readonly endless?: true;
}

/** What is expected to hold. */
const protocol: readonly (Check & { readonly words: string })[] = [
  { model: 'lock', words: 'the lock alone' },
  { model: 'lock', words: 'the lock alone: every order comes to an end', endless: true },
  { model: 'revocation', words: 'revocation, row versioning, no lock hints' },
  {
    model: 'revocation',
    words: 'revocation, locking reads and lock hints',
    switches: ['LOCKING_READS=1'],
  },
  { model: 'notification', words: 'notification, row versioning, no lock hints' },
  {
    model: 'notification',
    words: 'notification, and a reminder by hand beside it',
    switches: ['BY_HAND=1', 'RUNS=1'],
  },
];

/** What is expected not to hold, and what breaks first. */
interface Breakable extends Check {
  readonly name: string;
  /** Runs before the last one that it takes; without a second run that only dies, the trail is shorter. */
  readonly runs?: 2;
  readonly breaks: Invariant;
  readonly words: string;
}

const mutants = breakables('Mutants: the protocol without one of its safeguards', 'MUTANT', {
  NO_STALE_CLOSE: {
    model: 'lock',
    breaks: 'lockCanBeTaken',
    words: 'acquireLock does not close a stale row',
  },
  NO_UNIQUE_INDEX: {
    model: 'lock',
    runs: 2,
    breaks: 'oneRunInProgress',
    words: 'there is no UX_JobRun_Job_Type_InProgress',
  },
  NO_ATTEMPT_LIMIT: {
    model: 'lock',
    endless: true,
    breaks: 'lockCanBeTaken',
    words: 'acquireLock makes any number of attempts',
  },
  NO_STATUS_IN_FINISH: {
    model: 'lock',
    breaks: 'endedRunStays',
    words: "finishRun without AND Status = 'InProgress'",
  },
  NO_OWN_ROW_UPDATE: {
    model: 'revocation',
    switches: ['HONOUR_HINTS=1'],
    breaks: 'oneRevocation',
    words: 'revokeBatch checks its row in the INSERT, WITH (UPDLOCK), instead of an UPDATE first',
  },
  NO_FENCE_BUT_HINTS: {
    model: 'revocation',
    breaks: 'lostLockWritesNothing',
    words: 'revokeBatch begins with SELECT WITH (UPDLOCK), on a server that ignores hints',
  },
  NO_STATUS_IN_FENCE: {
    model: 'revocation',
    breaks: 'lostLockWritesNothing',
    words: "revokeBatch begins with an UPDATE without AND Status = 'InProgress'",
  },
  NO_CHECK_IN_BATCH: {
    model: 'revocation',
    breaks: 'oneRevocation',
    words: 'revokeBatch does not check that there is no revocation yet',
  },
  NO_END_IN_CHECK: {
    model: 'revocation',
    breaks: 'oneRevocation',
    words: 'revokeBatch takes any revocation of the grant for one of its present end',
  },
  NO_VIEW_IN_BATCH: {
    model: 'revocation',
    breaks: 'oneRevocation',
    words: 'revokeBatch does not look the grant up in the view again',
  },
  NO_NOW_IN_BATCH: {
    model: 'revocation',
    breaks: 'oneRevocation',
    words: 'revokeBatch takes what has been collected for ended, also after the clock was set back',
  },
  NO_COUNT_IN_TRANSACTION: {
    model: 'revocation',
    breaks: 'countIsRows',
    words: 'Processed_Count is not written in the transaction of the rows',
  },
  NO_CHECK_IN_RECORD: {
    model: 'notification',
    breaks: 'recordedOnce',
    words: 'recordNotification does not check that there is no notification yet',
  },
  NO_CHECK_IN_REMINDER: {
    model: 'notification',
    switches: ['BY_HAND=1'],
    breaks: 'recordedOnce',
    words: 'a retry does not look whether its first try has recorded the reminder by hand',
  },
  NO_SAME_OPERATION_ID: {
    model: 'notification',
    breaks: 'sameOperationId',
    words: 'a retry goes out under a new operation id',
  },
  NO_REMINDER_IN_ID: {
    model: 'notification',
    breaks: 'sameOperationId',
    words: 'the operation id is derived from what the message looks like',
  },
  NO_SETTLING: {
    model: 'notification',
    breaks: 'recordedIsAccepted',
    words: 'a message whose answer was lost is taken for accepted',
  },
});

/** What the protocol does not promise. */
const limits = breakables('Limits: what the protocol does not promise', 'LIMIT', {
  ONE_ROW_FOR_TWO_RUNS: {
    model: 'notification',
    runs: 2,
    breaks: 'recordedOnce',
    words: 'one row a message, when two runs record the same one at the same time',
  },
  RECORDED_BY_HAND: {
    model: 'notification',
    switches: ['BY_HAND=1'],
    breaks: 'acceptedIsRecorded',
    words: 'a record of a reminder by hand, when its process dies between the acceptance and the record',
  },
  RECORDED_AFTER_RENEWAL: {
    model: 'notification',
    breaks: 'acceptedIsRecorded',
    words: 'a record of a message, when its run cannot write it and the grant is renewed before the next run',
  },
});

function breakables(
  title: string,
  define: 'MUTANT' | 'LIMIT',
  named: Readonly<Record<string, Omit<Breakable, 'name'>>>,
): { readonly title: string; readonly list: readonly Breakable[] } {
  const list = Object.entries(named).map(([name, item]) => ({
    ...item,
    name,
    switches: [`${define}=${name}`, `RUNS=${item.runs ?? 1}`, ...(item.switches ?? [])],
  }));
  return { title, list };
}

interface Result {
  /** The invariant that does not hold; undefined if all hold. */
  readonly brokenBy?: string;
  /** The order of events that breaks it, one line a step. */
  readonly trail: readonly string[];
  readonly states: number;
  /** In MB. */
  readonly memory: number;
  /** Time of generating, compiling and checking, in ms. */
  readonly durationMs: number;
}

/**
 * @param shortest breadth first, so that the trail is the shortest; depth first takes less memory
 * @throws Error if the model is not valid or the checker has not visited every state
 */
async function check({ model, switches = [], endless }: Check, shortest: boolean): Promise<Result> {
  const startedAt = performance.now();
  const cwd = mkdtempSync(join(tmpdir(), 'access-expiry-model-'));
  const file = `${model}.pml`;
  const defines = switches.map((define) => `-D${define}`);
  try {
    cpSync(join(__dirname, '../model'), cwd, { recursive: true });
    const generated = await tool('spin', [...defines, '-a', file], cwd);
    if (!existsSync(join(cwd, 'pan.c'))) throw new Error(`Spin does not accept ${file}:\n${generated}`);
    const kind = endless ? ['-DNP'] : shortest ? ['-DSAFETY', '-DBFS'] : ['-DSAFETY'];
    // Without partial order reduction: every step touches what all sessions see, so there is nothing to reduce.
    const options = ['-DNOREDUCE', `-DMEMLIM=${memoryLimit}`, ...kind];
    // A mutant is found sooner than an optimised checker is compiled.
    await tool('gcc', ['-w', shortest ? '-O0' : '-O2', ...options, '-o', 'pan', 'pan.c'], cwd);
    const output = await tool('./pan', [`-m${maxDepth}`, ...(endless ? ['-l'] : [])], cwd);
    const errors = Number(/errors: (\d+)/.exec(output)?.[1]);
    const incomplete = /Search not completed|max search depth too small|reached -DMEMLIM|out of memory/.exec(
      output,
    );
    if (Number.isNaN(errors) || (errors === 0 && incomplete))
      throw new Error(`The checker has not visited every state of ${file}:\n${output}`);
    const trail = existsSync(join(cwd, `${file}.trail`)) ? await readTrail(file, defines, cwd) : [];
    const named = /^BROKEN (\w+)$/.exec(trail.at(-1) ?? '')?.[1];
    // A session that can never take its next step, or that never stops taking steps.
    const unnamed = /invalid end state|non-progress cycle/.test(output) ? 'lockCanBeTaken' : 'an assertion';
    return {
      ...(errors > 0 && { brokenBy: named ?? unnamed }),
      trail: named === undefined ? trail : trail.slice(0, -1),
      states: Number(/(\d+) states, stored/.exec(output)?.[1]),
      memory: Number(/([\d.]+)\s+total actual memory usage/.exec(output)?.[1]),
      durationMs: performance.now() - startedAt,
    };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** The lines that the model prints, step by step. */
async function readTrail(file: string, defines: readonly string[], cwd: string): Promise<string[]> {
  const output = await tool('spin', ['-t', '-T', ...defines, file], cwd);
  return output
    .split('\n')
    .map((line) => (line.includes('START OF CYCLE') ? 'from here on, again and again:' : line.trim()))
    .filter((line) => /^(run \d|the |all |cancelRun|from here|BROKEN)/.test(line));
}

const missing = {
  spin: 'Spin, the model checker, is not installed: "apt-get install spin" on Debian and Ubuntu, "brew install spin" on macOS.',
  gcc: 'gcc, which compiles what Spin generates, is not installed: "apt-get install gcc libc6-dev" on Debian and Ubuntu.',
} as const;

class ToolMissingError extends Error {}

/** Runs a program and returns what it printed; an exit code other than 0 is an error only for gcc. */
async function tool(
  name: keyof typeof missing | './pan',
  parameters: readonly string[],
  cwd: string,
): Promise<string> {
  try {
    const { stdout, stderr } = await run(name, parameters, { cwd, maxBuffer: 64 * 1024 * 1024 });
    return stdout + stderr;
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    if (code === 'ENOENT' && name !== './pan') throw new ToolMissingError(missing[name]);
    // Spin and the checker also exit with an error code when they found what was looked for.
    if (name === 'gcc' || typeof code !== 'number') throw error;
    return stdout + stderr;
  }
}

/** Checks all items, a few at a time; the results are in the order of the items. */
async function checkEach<T extends Check>(items: readonly T[], shortest: boolean): Promise<(T & Result)[]> {
  const results = new Map<T, Result>();
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item; item = queue.shift()) results.set(item, await check(item, shortest));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return items.flatMap((item) => {
    const result = results.get(item);
    return result ? [{ ...item, ...result }] : [];
  });
}

const number = (value: number): string => Math.round(value).toLocaleString('en-GB');
const seconds = (ms: number): string => (ms / 1000).toFixed(1);

function printTable(rows: readonly (readonly string[])[], numeric: readonly number[]): void {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  rows.forEach((row, index) => {
    const cells = row.map((cell, column) =>
      numeric.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
    );
    console.log(cells.join('  ').trimEnd());
    if (index === 0) console.log('-'.repeat(widths.reduce((sum, width) => sum + width + 2, -2)));
  });
}

async function checkAll(): Promise<boolean> {
  const startedAt = performance.now();
  console.log('What must hold\n');
  for (const [name, words] of Object.entries(invariants)) console.log(`  ${name.padEnd(22)} ${words}`);

  console.log('\nThe protocol, every state visited\n');
  const held = await checkEach(protocol, false);
  printTable(
    [
      ['', 'states', 'MB', 'seconds', ''],
      ...held.map(({ words, brokenBy, states, memory, durationMs }) => [
        words,
        number(states),
        number(memory),
        seconds(durationMs),
        brokenBy === undefined ? 'holds' : `BROKEN: ${brokenBy}`,
      ]),
    ],
    [1, 2, 3],
  );
  const wrong = held.filter(({ brokenBy }) => brokenBy !== undefined);
  for (const { words, brokenBy, trail } of wrong) {
    console.log(`\n${words}: ${brokenBy ?? ''} does not hold\n`);
    printTrail(trail);
  }

  const unexpected: string[] = wrong.map(({ words }) => words);
  for (const { title, list } of [mutants, limits]) {
    console.log(`\n${title}\n`);
    const results = await checkEach(list, true);
    printTable(
      [
        ['', 'breaks', 'steps', 'seconds', ''],
        ...results.map(({ name, words, breaks, brokenBy, trail, durationMs }) => [
          name,
          brokenBy === breaks ? breaks : `${brokenBy ?? 'NOTHING'}, EXPECTED ${breaks}`,
          number(trail.length),
          seconds(durationMs),
          words,
        ]),
      ],
      [2, 3],
    );
    unexpected.push(...results.filter(({ breaks, brokenBy }) => breaks !== brokenBy).map(({ name }) => name));
  }
  const states = held.reduce((sum, result) => sum + result.states, 0);
  console.log(
    unexpected.length > 0
      ? `\nNot as expected: ${unexpected.join(', ')}`
      : `\nThe protocol holds in ${number(states)} states, and every mutant is caught, in ${seconds(performance.now() - startedAt)} s.`,
  );
  return unexpected.length === 0;
}

function printTrail(trail: readonly string[]): void {
  trail.forEach((line, index) => {
    console.log(`${String(index + 1).padStart(4)}  ${line}`);
  });
}

async function printTrailOf(name: string): Promise<boolean> {
  const all = [...mutants.list, ...limits.list];
  const item = all.find((one) => one.name === name);
  if (!item) {
    console.error(`Unknown mutant: ${name}. Known: ${all.map((one) => one.name).join(', ')}.`);
    return false;
  }
  const { brokenBy, trail } = await check(item, true);
  console.log(`${name}: ${item.words}\n`);
  printTrail(trail);
  console.log(`\nBroken: ${brokenBy ?? 'nothing'}, expected: ${item.breaks}. ${invariants[item.breaks]}`);
  return brokenBy === item.breaks;
}

const usage = `Usage: npm run model [-- --trail MUTANT]

Checks the protocol of the jobs in every order of events with Spin; --trail prints the order by which a mutant breaks it.`;

async function main(): Promise<boolean> {
  if (isAskedForHelp()) {
    console.log(usage);
    return true;
  }
  const [option, name, ...rest] = process.argv.slice(2);
  // A missing tool is all that is said.
  await tool('spin', ['-V'], __dirname);
  await tool('gcc', ['--version'], __dirname);
  if (option === undefined) return checkAll();
  if (option === '--trail' && name !== undefined && rest.length === 0) return printTrailOf(name);
  console.error(usage);
  return false;
}

main().then(
  (good) => {
    process.exitCode = good ? 0 : 1;
  },
  (error: unknown) => {
    console.error(error instanceof ToolMissingError ? error.message : error);
    process.exitCode = 1;
  },
);
