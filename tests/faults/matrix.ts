/**
 * The fault matrix: for every position of a recorded clean run and every fault, a run starts from the same data and
 * meets the fault, and a clean run follows.
 */
import type { EmailFault, EmailService } from '../../local/email';
import type { CallFault } from '../../local/email/faults';
import type { Fault, SqlServer } from '../../local/sqlServer';
import { jobs, type Job } from '../../src/jobs/catalogue';
import { useEnvironment } from '../support/arrange';
import { beforeEachStatement, type TestEnvironment } from '../support/environment';
import { findBreaches, findBreachesAtEnd, findUnrecorded, observe } from './invariants';
import { attempt, cleanBreaches, standInOf, type Attempt } from './run';
import { createStart, type Start } from './start';

/** What a clean run did, in order. */
interface Recording {
  /** The names of its statements. */
  readonly statements: readonly string[];
  /** The addresses of its messages. */
  readonly recipients: readonly string[];
  /** How often it read the status of a message. */
  readonly statusReads: number;
}

/** What a fault may do to a run. */
interface Effects {
  /** Messages may fail, or not be tried. */
  readonly costsMessages?: boolean;
  /** Accepted messages may not be recorded: their status is unknown, or the database stays unavailable. */
  readonly losesRecords?: boolean;
  /** A server never answers: calls time out. */
  readonly hangs?: boolean;
}

/** A fault at a position. */
interface FaultCase extends Effects {
  /** For example `statement 4 (revokeBatch)`. */
  readonly position: string;
  readonly fault: string;
  /** Orders it. @returns whether the run has got as far as the fault */
  readonly order: (servers: Servers) => () => boolean;
}

interface Servers extends Pick<TestEnvironment, 'email' | 'identity'> {
  readonly standIn: SqlServer;
}

/** Its status is Running at first, and so read more than once. */
function slowDownMessage({ email }: TestEnvironment): void {
  email.order({ kind: 'outcome', recipient: 'bob@example.com', runningReads: 2 });
}

/** Runs the job without a fault. Throws unless the invariants hold. */
export async function record(environment: TestEnvironment, start: Start): Promise<Recording> {
  const { email } = environment;
  const standIn = standInOf(environment);
  await start.reset();
  const names = new Map<string, string>();
  const spy = beforeEachStatement(({ sql, name }) => names.set(sql, name));
  slowDownMessage(environment);
  const { result, breaches } = await attempt(environment, start.job);
  spy.mockRestore();
  const statements = standIn.statements.map(({ text }) => names.get(text) ?? text);
  const sends = email.requests.filter(({ method }) => method === 'POST');
  breaches.push(...cleanBreaches(result, start), ...findBreachesAtEnd(await observe(environment, start)));
  if (breaches.length > 0) throw new Error(`Without a fault: ${breaches.join('; ')}`);
  return {
    statements,
    recipients: sends.flatMap(({ to = [] }) => to),
    statusReads: email.requests.length - sends.length,
  };
}

/** Resets the data, runs with the fault, then without. @returns the breaches, in words */
async function runCase(environment: TestEnvironment, start: Start, one: FaultCase): Promise<string[]> {
  const { email, identity } = environment;
  const standIn = standInOf(environment);
  await start.reset();
  const isMet = one.order({ standIn, email, identity });
  slowDownMessage(environment);
  const { result, breaches } = await attempt(environment, start.job, one);
  if (!isMet()) breaches.push('the run did not get as far as the fault');
  for (const server of [standIn, email, identity]) server.clearFaults();
  const seen = await observe(environment, start);
  breaches.push(
    ...findBreaches(seen),
    ...(one.losesRecords ? [] : findUnrecorded(seen)),
    ...resultBreaches(result, start, one),
  );
  // The next run closes a row that was not finished once it is stale.
  if (result.kind === 'error' || result.kind === 'hanging') standIn.clock.advance(11 * 60_000);
  const clean = await attempt(environment, start.job);
  return [
    ...breaches,
    ...clean.breaches.map((breach) => `clean run: ${breach}`),
    ...cleanBreaches(clean.result, start),
    ...findBreachesAtEnd(await observe(environment, start)),
  ];
}

function resultBreaches(result: Attempt['result'], { grants }: Start, { costsMessages }: Effects): string[] {
  if (result.kind === 'held') return ['nobody else runs, and the lock was held'];
  if (result.kind !== 'finished') return [];
  const { status, failedCount } = result.run;
  const undeliverable = [...grants.values()].filter((grant) => grant.undeliverable).length;
  const counted = status === 'Completed' && !result.stoppedEarly && !costsMessages;
  return [
    ...(status === 'InProgress' ? ['the run ended and its row is in progress'] : []),
    ...(counted && (failedCount ?? undeliverable) !== undeliverable
      ? [`Failed_Count is ${failedCount ?? 'null'}, undeliverable are ${undeliverable}`]
      : []),
  ];
}

/** What a login meets: it is refused, or there is no token for it. */
type LoginFault = Pick<Fault, 'number' | 'times'> | 'noToken';

/** A fault of a statement, and of the login that has to follow it. */
interface SqlFault extends Effects {
  readonly fault: string;
  readonly statement: Fault;
  readonly login?: LoginFault;
}

const sqlFaults: readonly SqlFault[] = [
  { fault: 'connection dropped before it', statement: { kind: 'dropBefore' } },
  { fault: 'connection dropped after it', statement: { kind: 'dropAfter' } },
  {
    fault: 'executed, and committed only after its retry has begun',
    statement: { kind: 'answerLate', drop: true },
  },
  ...[1205, 40501, 40613, 49918, 10928].map((number): SqlFault => ({
    fault: `error ${number}`,
    statement: { kind: 'error', number },
  })),
  { fault: 'no answer', statement: { kind: 'hang' }, hangs: true },
  ...[18456, 40613].map((number): SqlFault => ({
    fault: `connection dropped after it, and the next login refused with ${number}`,
    statement: { kind: 'dropAfter' },
    login: { number },
    losesRecords: number === 18456,
  })),
  {
    fault: 'connection dropped before it, and no token for the next login',
    statement: { kind: 'dropBefore' },
    login: 'noToken',
  },
  {
    fault: 'connection dropped after it, and the database away from then on',
    statement: { kind: 'dropAfter', times: Infinity },
    login: { number: 40613, times: Infinity },
    losesRecords: true,
  },
];

/** Orders a fault of the nth login. @returns whether the run has got so far */
function orderLogin({ standIn, identity }: Servers, login: LoginFault, at: number): () => boolean {
  const resource = 'database.windows.net';
  if (login === 'noToken') identity.order({ kind: 'error', status: 400, resource, at });
  else standIn.order({ kind: 'refuseLogin', ...login, at });
  return tokensAsked(identity, resource, at);
}

/** Whether so many tokens for a resource have been asked for since now; each login asks for one. */
function tokensAsked({ requests }: Servers['identity'], resource: string, count: number): () => boolean {
  const { length: before } = requests;
  return () => requests.slice(before).filter((one) => one.resource.includes(resource)).length >= count;
}

const loginCase = (fault: string, login: LoginFault): FaultCase => ({
  position: 'first login',
  fault,
  order: (servers) => orderLogin(servers, login, 1),
});

const loginCases = [
  loginCase('refused with 18456', { number: 18456 }),
  loginCase('refused with 40613', { number: 40613 }),
  loginCase('refused with 40613 from then on', { number: 40613, times: Infinity }),
  loginCase('no token', 'noToken'),
];

const statementCases = (name: string, index: number): FaultCase[] =>
  sqlFaults.map(({ statement, login, ...fault }) => ({
    position: `statement ${index + 1} (${name})`,
    ...fault,
    order: (servers) => {
      const { standIn } = servers;
      standIn.order({ ...statement, at: index + 1 });
      const isNextLoginMet = login ? orderLogin(servers, login, 2) : () => true;
      return () => standIn.statements.length > index && isNextLoginMet();
    },
  }));

const tokenCase: FaultCase = {
  position: 'first token for email',
  fault: 'no token',
  costsMessages: true,
  order: ({ identity }) => {
    const resource = 'communication.azure.com';
    identity.order({ kind: 'error', status: 400, resource });
    return tokensAsked(identity, resource, 1);
  },
};

/** What can happen to one call of the email service. */
const callFaults: readonly (readonly [string, CallFault])[] = [
  ['400', { kind: 'error', status: 400 }],
  ['401', { kind: 'error', status: 401 }],
  ['429 with a short Retry-After', { kind: 'error', status: 429, retryAfter: 7 }],
  ['429 with a long Retry-After', { kind: 'error', status: 429, retryAfter: 3_600 }],
  ['500', { kind: 'error', status: 500 }],
  ['no answer', { kind: 'hang' }],
  ['connection dropped before it', { kind: 'dropBefore' }],
  ['connection dropped after it', { kind: 'dropAfter' }],
  ['an answer without its body', { kind: 'stall' }],
];

const callCase = (
  position: string,
  fault: string,
  faults: readonly EmailFault[],
  isMet: IsMet,
): FaultCase => ({
  position,
  fault,
  costsMessages: true,
  hangs: faults.some(({ kind }) => kind === 'hang' || kind === 'stall'),
  order: ({ email }) => {
    for (const one of faults) email.order(one);
    return () => isMet(email.requests);
  },
});

type IsMet = (requests: EmailService['requests']) => boolean;

const isReached =
  (wanted: string, nth: number): IsMet =>
  (requests) =>
    requests.filter(({ method }) => method === wanted).length >= nth;

function sendCases(recipient: string, index: number): FaultCase[] {
  const at = index + 1;
  const position = `send ${at} (to ${recipient})`;
  const isSent: IsMet = (requests) => requests.some(({ to = [] }) => to.includes(recipient));
  return callFaults.flatMap(([fault, call]) => [
    callCase(position, fault, [{ ...call, recipient }], isSent),
    // A message that the service fails is left until the next day: tests/email/emailClient.test.ts has that.
    {
      ...callCase(
        position,
        `connection dropped after it, and its status answered with: ${fault}`,
        [
          { kind: 'dropAfter', recipient },
          { ...call, on: 'status', recipient },
        ],
        isSent,
      ),
      losesRecords: true,
    },
    callCase(position, `${fault} from then on`, [{ ...call, at, times: Infinity }], isReached('POST', at)),
  ]);
}

function statusCases(at: number): FaultCase[] {
  const on = 'status';
  const position = `status read ${at}`;
  const isRead = isReached('GET', at);
  return callFaults.flatMap(([fault, call]) => [
    callCase(position, fault, [{ ...call, on, at }], isRead),
    callCase(position, `${fault} from then on`, [{ ...call, on, at, times: Infinity }], isRead),
  ]);
}

/** All cases of a job, by position. */
function casesOf(
  { job }: Start,
  { statements, recipients, statusReads }: Recording,
): (readonly FaultCase[])[] {
  const bySql = [loginCases, ...statements.map(statementCases)];
  return job.kind === 'revocation'
    ? bySql
    : [
        ...bySql,
        [tokenCase],
        ...recipients.map(sendCases),
        ...Array.from({ length: statusReads }, (_, index) => statusCases(index + 1)),
      ];
}

type Choose = <T>(positions: readonly (readonly T[])[], job: Job) => readonly T[];

/** Every position once, each with another fault. */
export const onePerPosition: Choose = (positions, job) =>
  positions.flatMap((cases, index) => cases[(jobs.indexOf(job) * 3 + index) % cases.length] ?? []);

/**
 * Defines a test for each job, which runs the chosen cases and prints how many held.
 * @param least how many cases there are at least
 */
export function defineMatrixTests(choose: Choose, least: number): void {
  const environment = useEnvironment();

  test.each(jobs)('$type keeps every invariant under faults at every position', async (job) => {
    const start = await createStart(environment, job);
    const cases = choose(casesOf(start, await record(environment, start)), job);
    const broken: string[] = [];
    for (const one of cases) {
      const breaches = await runCase(environment, start, one);
      if (breaches.length > 0)
        broken.push(`${one.position}, ${one.fault}: ${breaches.slice(0, 4).join('; ')}`);
    }
    process.stdout.write(`${job.type}: ${cases.length} cases, ${cases.length - broken.length} held\n`);
    expect(cases.length).toBeGreaterThanOrEqual(least);
    expect(broken).toEqual([]);
  });
}
