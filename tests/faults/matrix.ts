/**
 * The fault matrix: a clean run is recorded. For every position in it and every fault, a run starts from the same data and
 * meets that fault; then comes a clean run.
 */
import type { EmailFault, EmailService } from '../../local/email';
import type { CallFault } from '../../local/email/faults';
import type { Fault, SqlServer } from '../../local/sqlServer';
import type { Job } from '../../src/jobs/catalogue';
import { beforeEachStatement, type TestEnvironment } from '../support/environment';
import { findBreaches, findBreachesAtEnd, findUnrecorded, observe } from './invariants';
import { attempt, cleanBreaches, WatchedCredential, standInOf, type Attempt } from './run';
import { createStart, type Start } from './start';

/** What a clean run did, in order. */
interface Recording {
  /** The names of its statements. */
  readonly statements: readonly string[];
  /** Its messages by address and operation id, which is the same whenever one starts from the same data. */
  readonly messages: readonly { readonly recipient: string; readonly operationId: string }[];
  /** The address of the message of each status read. */
  readonly statusReads: readonly string[];
}

/** What a fault can do to a run beyond delaying it. */
interface Effects {
  /** The email service fails messages, or the run ends before it has tried all. */
  readonly costsMessages?: boolean;
  /** The run may end before it has recorded all that was accepted: nobody can know, or the database stays away. */
  readonly losesRecords?: boolean;
  /** A server never answers: calls are given up after a moment. */
  readonly hangs?: boolean;
}

/** A fault at a position. */
interface FaultCase extends Effects {
  /** For example `statement 4 (revokeBatch)`. */
  readonly position: string;
  readonly fault: string;
  readonly order: (setup: FaultSetup) => void;
  /** Whether the run got as far as the fault. */
  readonly isMet: (setup: FaultSetup) => boolean;
}

/** Where a case orders its fault. */
interface FaultSetup {
  readonly standIn: SqlServer;
  readonly email: EmailService;
  /** No token is given at the nth request for one: for SQL at each login, for email at the first message. */
  readonly refuseToken: (service: keyof typeof scopes, nth: number) => void;
  /** The nth login is refused, so many times in a row. */
  readonly refuseLogin: (nth: number, number: number, times?: number) => void;
  /** How many orders of refuseToken and refuseLogin have come due. */
  readonly dueCount: () => number;
}

const scopes = { sql: /database\.windows\.net/, email: /communication\.azure\.com/ };

function createSetup(environment: TestEnvironment, credential: WatchedCredential): FaultSetup {
  const { email, identity } = environment;
  const standIn = standInOf(environment);
  let due = 0;
  const before = (service: keyof typeof scopes, nth: number, action: () => void): void =>
    credential.before(scopes[service], nth, () => {
      due++;
      action();
    });
  return {
    standIn,
    email,
    refuseToken: (service, nth) => before(service, nth, () => identity.order({ kind: 'error', status: 400 })),
    refuseLogin: (nth, number, times = 1) =>
      before('sql', nth, () => standIn.order({ kind: 'refuseLogin', number, times })),
    dueCount: () => due,
  };
}

/** Its status is not known to the service at once, so that it is read more than once. */
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
  const recipients = new Map(email.messages.map(({ operationId, to }) => [operationId, to[0] ?? '']));
  const calls = (wanted: string) =>
    email.requests
      .filter(({ method }) => method === wanted)
      .map(({ operationId = '' }) => ({ recipient: recipients.get(operationId) ?? '', operationId }));
  const messages = calls('POST');
  const statusReads = calls('GET').map(({ recipient }) => recipient);
  breaches.push(...cleanBreaches(result, start), ...findBreachesAtEnd(await observe(environment, start)));
  if (breaches.length > 0) throw new Error(`Without a fault: ${breaches.join('; ')}`);
  return { statements, messages, statusReads };
}

/** Starts again, runs with the fault, then clean; returns what did not hold, in words. */
async function runCase(environment: TestEnvironment, start: Start, one: FaultCase): Promise<string[]> {
  const standIn = standInOf(environment);
  await start.reset();
  const credential = new WatchedCredential(environment.environment);
  const setup = createSetup(environment, credential);
  one.order(setup);
  slowDownMessage(environment);
  const { result, breaches } = await attempt(environment, start.job, credential, one.hangs);
  if (!one.isMet(setup)) breaches.push('the run did not get as far as the fault');
  standIn.clearFaults();
  environment.email.clearFaults();
  environment.identity.clearFaults();
  const seen = await observe(environment, start);
  breaches.push(
    ...findBreaches(seen),
    ...(one.losesRecords ? [] : findUnrecorded(seen)),
    ...resultBreaches(result, start, one),
  );
  // A row that could not be finished is closed by the next run once it is stale.
  if (result.kind === 'error' || result.kind === 'hanging') standIn.clock.advance(11 * 60_000);
  return [...breaches, ...(await cleanRunBreaches(environment, start))];
}

/** A clean run, and what does not hold in it and after it. */
async function cleanRunBreaches(environment: TestEnvironment, start: Start): Promise<string[]> {
  const { result, breaches } = await attempt(environment, start.job);
  return [
    ...breaches.map((breach) => `clean run: ${breach}`),
    ...cleanBreaches(result, start),
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

/** A fault of a statement, or of the login that has to follow it. */
interface SqlFault extends Effects {
  readonly fault: string;
  readonly order: (setup: FaultSetup, at: number) => void;
  readonly onLogin?: true;
}

const ofStatement = (fault: string, order: Fault, effects: Effects = {}): SqlFault => ({
  fault,
  ...effects,
  order: ({ standIn }, at) => standIn.order({ ...order, at }),
});

const ofLogin = (fault: string, order: SqlFault['order'], effects: Effects = {}): SqlFault => ({
  fault,
  ...effects,
  order,
  onLogin: true,
});

const sqlFaults: readonly SqlFault[] = [
  ofStatement('connection dropped before it', { kind: 'dropBefore' }),
  ofStatement('connection dropped after it', { kind: 'dropAfter' }),
  ofStatement('executed, and committed only after its retry has begun', { kind: 'answerLate', drop: true }),
  ...[1205, 40501, 40613, 49918, 10928].map((number) =>
    ofStatement(`error ${number}`, { kind: 'error', number }),
  ),
  ofStatement('no answer', { kind: 'hang' }, { hangs: true }),
  ...[18456, 40613].map((number) =>
    ofLogin(
      `connection dropped after it, and the next login refused with ${number}`,
      ({ standIn, refuseLogin }, at) => {
        standIn.order({ kind: 'dropAfter', at });
        refuseLogin(2, number);
      },
      { losesRecords: number === 18456 },
    ),
  ),
  ofLogin('connection dropped before it, and no token for the next login', ({ standIn, refuseToken }, at) => {
    standIn.order({ kind: 'dropBefore', at });
    refuseToken('sql', 2);
  }),
  ofLogin(
    'connection dropped after it, and the database away from then on',
    ({ standIn, refuseLogin }, at) => {
      standIn.order({ kind: 'dropAfter', at, times: Infinity });
      refuseLogin(2, 40613, Infinity);
    },
    { losesRecords: true },
  ),
];

const loginCases: readonly FaultCase[] = [
  ofLogin('refused with 18456', ({ refuseLogin }) => refuseLogin(1, 18456)),
  ofLogin('refused with 40613', ({ refuseLogin }) => refuseLogin(1, 40613)),
  ofLogin('refused with 40613 from then on', ({ refuseLogin }) => refuseLogin(1, 40613, Infinity)),
  ofLogin('no token', ({ refuseToken }) => refuseToken('sql', 1)),
].map(({ fault, order }) => ({
  position: 'first login',
  fault,
  order: (setup) => order(setup, 1),
  isMet: ({ dueCount }) => dueCount() > 0,
}));

const statementCases = (name: string, index: number): FaultCase[] =>
  sqlFaults.map(({ order, onLogin, ...fault }) => ({
    position: `statement ${index + 1} (${name})`,
    ...fault,
    order: (setup) => order(setup, index + 1),
    isMet: ({ standIn, dueCount }) => standIn.statements.length > index && (!onLogin || dueCount() > 0),
  }));

const tokenCase: FaultCase = {
  position: 'first token for email',
  fault: 'no token',
  costsMessages: true,
  order: ({ refuseToken }) => refuseToken('email', 1),
  isMet: ({ dueCount }) => dueCount() > 0,
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
  isMet: (requests: EmailService['requests']) => boolean,
): FaultCase => ({
  position,
  fault,
  costsMessages: true,
  hangs: faults.some(({ kind }) => kind === 'hang' || kind === 'stall'),
  order: ({ email }) => faults.forEach((one) => email.order(one)),
  isMet: ({ email }) => isMet(email.requests),
});

const isReached =
  (method: string, nth: number) =>
  (requests: EmailService['requests']): boolean =>
    requests.filter((request) => request.method === method).length >= nth;

function sendCases({ recipient, operationId }: Recording['messages'][number], index: number): FaultCase[] {
  const nth = index + 1;
  const position = `send ${nth} (to ${recipient})`;
  const isSent = (requests: EmailService['requests']): boolean =>
    requests.some((request) => request.method === 'POST' && request.operationId === operationId);
  return callFaults.flatMap(([fault, call]) => [
    callCase(position, fault, [{ ...call, recipient }], isSent),
    // A message that the service fails is left until the next day, which tests/email/emailClient.test.ts has.
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
    callCase(
      position,
      `${fault} from then on`,
      [{ ...call, at: nth, times: Infinity }],
      isReached('POST', nth),
    ),
  ]);
}

function statusCases(recipient: string, index: number): FaultCase[] {
  const at = index + 1;
  const position = `status read ${at} (of the message to ${recipient})`;
  return callFaults.flatMap(([fault, call]) =>
    [1, Infinity].map((times) =>
      callCase(
        position,
        times === 1 ? fault : `${fault} from then on`,
        [{ ...call, on: 'status', at, times }],
        isReached('GET', at),
      ),
    ),
  );
}

/** All cases of a job, by position. */
function casesOf({ job }: Start, { statements, messages, statusReads }: Recording): (readonly FaultCase[])[] {
  const bySql = [loginCases, ...statements.map(statementCases)];
  return job.kind === 'revocation'
    ? bySql
    : [...bySql, [tokenCase], ...messages.map(sendCases), ...statusReads.map(statusCases)];
}

/** Every position once, each with another fault. */
export function sampleOf<T>(positions: readonly (readonly T[])[], seed: number): T[] {
  return positions.flatMap((cases, index) => cases[(seed + index) % cases.length] ?? []);
}

/** Runs the chosen cases of a job, and prints how many held. Returns which did not. */
export async function runMatrix(
  environment: TestEnvironment,
  job: Job,
  choose: <T>(positions: readonly (readonly T[])[]) => readonly T[],
): Promise<{ cases: number; broken: string[] }> {
  const start = await createStart(environment, job);
  const cases = choose(casesOf(start, await record(environment, start)));
  const broken: string[] = [];
  for (const one of cases) {
    const breaches = await runCase(environment, start, one);
    if (breaches.length > 0) broken.push(`${one.position}, ${one.fault}: ${breaches.slice(0, 4).join('; ')}`);
  }
  process.stdout.write(`${job.type}: ${cases.length} cases, ${cases.length - broken.length} held\n`);
  return { cases: cases.length, broken };
}
