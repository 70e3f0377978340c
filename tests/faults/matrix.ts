/**
 * The fault matrix: a clean run is recorded, and for every position in it and every fault a run starts again from the
 * same start and meets that fault; then comes a clean run.
 */
import type { EmailFault } from '../../local/email';
import type { CallFault } from '../../local/email/faults';
import type { SqlServer } from '../../local/sqlServer';
import type { Job } from '../../src/jobs/catalogue';
import { beforeEachStatement, type TestEnvironment } from '../support/environment';
import { findBreaches, findBreachesAtEnd, findUnrecorded, observe } from './invariants';
import { attempt, cleanBreaches, WatchedCredential, standInOf } from './run';
import { createStart, type Start } from './start';

/** What a clean run did, in order. */
export interface Recording {
  /** The names of its statements. */
  readonly statements: readonly string[];
  /** The messages that it sent, by address and operation id, which is the same whenever one starts from the same data. */
  readonly messages: readonly { readonly recipient: string; readonly operationId: string }[];
  /** The address of the message of each status read. */
  readonly statusReads: readonly string[];
}

/** A fault at a position. */
export interface FaultCase {
  /** For example `statement 4 (revokeBatch)`. */
  readonly position: string;
  readonly fault: string;
  readonly order: (faults: FaultSetup) => void;
  /** Whether the run got as far as the fault. */
  readonly met: (environment: TestEnvironment, setup: FaultSetup) => boolean;
  /** The fault makes the email service fail messages, or the run end before it has tried all. */
  readonly costsMessages?: boolean;
  /** The run may end before it has recorded all that was accepted: nobody could tell that, or the database stays away. */
  readonly losesRecords?: boolean;
  /** Whether the fault is a server that never answers: calls are given up after a moment. */
  readonly hangs?: boolean;
}

export interface CaseResult extends Pick<FaultCase, 'position' | 'fault'> {
  readonly job: Job['type'];
  /** What did not hold, in words. */
  readonly breaches: readonly string[];
}

/** Where a case orders its fault. */
export interface FaultSetup {
  readonly standIn: SqlServer;
  readonly orderEmail: (fault: EmailFault) => void;
  /** No token is had at the nth time that one is asked for: for SQL at each login, for email at the first message. */
  readonly refuseToken: (service: 'sql' | 'email', nth: number) => void;
  /** The nth login is refused, so many times in a row. */
  readonly refuseLogin: (nth: number, number: number, times?: number) => void;
  /** Orders of refuseToken and refuseLogin that have come due. */
  readonly due: { count: number };
}

const scopes = { sql: /database\.windows\.net/, email: /communication\.azure\.com/ };

function createSetup(environment: TestEnvironment, credential: WatchedCredential): FaultSetup {
  const { email, identity } = environment;
  const standIn = standInOf(environment);
  const due = { count: 0 };
  return {
    standIn,
    orderEmail: (fault) => email.order(fault),
    refuseToken: (service, nth) =>
      credential.before(scopes[service], nth, () => {
        due.count++;
        identity.order({ kind: 'error', status: 400 });
      }),
    refuseLogin: (nth, number, times = 1) =>
      credential.before(scopes.sql, nth, () => {
        due.count++;
        standIn.order({ kind: 'refuseLogin', number, times });
      }),
    due,
  };
}

/** A message whose status the service does not know at once, so that it is read more than once. */
function slowMessage(job: Job): EmailFault | undefined {
  return job.kind === 'notification'
    ? { kind: 'outcome', recipient: 'bob@example.com', runningReads: 2 }
    : undefined;
}

/** Runs the job without a fault and tells what it did. Throws unless the invariants hold. */
export async function record(environment: TestEnvironment, start: Start): Promise<Recording> {
  const { job } = start;
  const { email } = environment;
  const standIn = standInOf(environment);
  await start.reset();
  const names = new Map<string, string>();
  const spy = beforeEachStatement(({ sql, name }) => names.set(sql, name));
  const slow = slowMessage(job);
  if (slow) email.order(slow);
  const { result, breaches } = await attempt(
    environment,
    job,
    new WatchedCredential(environment.environment),
  );
  spy.mockRestore();
  const statements = standIn.statements.map(({ text }) => names.get(text) ?? text);
  const recipients = new Map(email.messages.map(({ operationId, to }) => [operationId, to[0] ?? '']));
  const calls = (wanted: string) =>
    email.requests.flatMap(({ method, operationId = '' }) =>
      method === wanted ? [{ recipient: recipients.get(operationId) ?? '', operationId }] : [],
    );
  const recording = {
    statements,
    messages: calls('POST'),
    statusReads: calls('GET').map(({ recipient }) => recipient),
  };
  const all = [
    ...breaches,
    ...cleanBreaches(result, start),
    ...findBreachesAtEnd(await observe(environment, start)),
  ];
  if (all.length > 0) throw new Error(`Without a fault: ${all.join('; ')}`);
  return recording;
}

/** Starts again, runs with the fault, then clean, and looks at all invariants. */
export async function runCase(
  environment: TestEnvironment,
  start: Start,
  { position, fault, order, met, hangs = false, costsMessages = false, losesRecords = false }: FaultCase,
): Promise<CaseResult> {
  const { job } = start;
  const standIn = standInOf(environment);
  await start.reset();
  const credential = new WatchedCredential(environment.environment);
  const setup = createSetup(environment, credential);
  order(setup);
  const slow = slowMessage(job);
  if (slow) environment.email.order(slow);
  const { result, breaches } = await attempt(environment, job, credential, hangs);
  if (!met(environment, setup)) breaches.push('the run did not get as far as the fault');
  standIn.clearFaults();
  environment.email.clearFaults();
  environment.identity.clearFaults();
  const afterFault = await observe(environment, start);
  breaches.push(...findBreaches(afterFault), ...(losesRecords ? [] : findUnrecorded(afterFault)));
  const undeliverable = [...start.grants.values()].filter((grant) => grant.undeliverable).length;
  if (result.kind === 'finished') {
    const { status, failedCount } = result.run;
    if (status === 'InProgress') breaches.push('the run ended and its row is in progress');
    if (
      status === 'Completed' &&
      !result.stoppedEarly &&
      !costsMessages &&
      (failedCount ?? undeliverable) !== undeliverable
    )
      breaches.push(`Failed_Count is ${failedCount ?? 'null'}, undeliverable are ${undeliverable}`);
  } else if (result.kind === 'held') breaches.push('nobody else runs, and the lock was held');
  // What could not be finished is closed by the next run once it is stale.
  else standIn.clock.advance(11 * 60_000);
  const clean = await attempt(environment, job, new WatchedCredential(environment.environment));
  breaches.push(
    ...clean.breaches.map((breach) => `clean run: ${breach}`),
    ...cleanBreaches(clean.result, start),
    ...findBreachesAtEnd(await observe(environment, start)),
  );
  return { job: job.type, position, fault, breaches };
}

/** The same fault of SQL at every position of a recording. */
type SqlFault = Pick<FaultCase, 'fault' | 'hangs' | 'losesRecords'> & {
  readonly at: (setup: FaultSetup, position: number) => void;
  /** It comes with the login after the statement, which has to come. */
  readonly onLogin?: true;
};

const sqlFaults: readonly SqlFault[] = [
  {
    fault: 'connection dropped before it',
    at: ({ standIn }, at) => standIn.order({ kind: 'dropBefore', at }),
  },
  { fault: 'connection dropped after it', at: ({ standIn }, at) => standIn.order({ kind: 'dropAfter', at }) },
  {
    fault: 'answered late: executed, and committed only after its retry has begun',
    at: ({ standIn }, at) => void standIn.order({ kind: 'answerLate', at, drop: true }),
  },
  ...[1205, 40501, 40613, 49918, 10928].map((number) => ({
    fault: `error ${number}`,
    at: ({ standIn }: FaultSetup, at: number) => standIn.order({ kind: 'error', number, at }),
  })),
  { fault: 'no answer', hangs: true, at: ({ standIn }, at) => standIn.order({ kind: 'hang', at }) },
  ...[18456, 40613].map((number) => ({
    fault: `connection dropped after it, and the next login refused with ${number}`,
    onLogin: true as const,
    losesRecords: number === 18456,
    at: ({ standIn, refuseLogin }: FaultSetup, at: number) => {
      standIn.order({ kind: 'dropAfter', at });
      refuseLogin(2, number);
    },
  })),
  {
    fault: 'connection dropped before it, and no token for the next login',
    onLogin: true,
    at: ({ standIn, refuseToken }, at) => {
      standIn.order({ kind: 'dropBefore', at });
      refuseToken('sql', 2);
    },
  },
  {
    fault: 'connection dropped after it, and the database away from then on',
    onLogin: true,
    losesRecords: true,
    at: ({ standIn, refuseLogin }, at) => {
      standIn.order({ kind: 'dropAfter', at, times: Infinity });
      refuseLogin(2, 40613, Infinity);
    },
  },
];

const loginFaults: readonly (Pick<FaultCase, 'fault'> & { readonly order: (setup: FaultSetup) => void })[] = [
  ...[18456, 40613].map((number) => ({
    fault: `refused with ${number}`,
    order: ({ refuseLogin }: FaultSetup) => refuseLogin(1, number),
  })),
  { fault: 'refused with 40613 from then on', order: ({ refuseLogin }) => refuseLogin(1, 40613, Infinity) },
  { fault: 'no token', order: ({ refuseToken }) => refuseToken('sql', 1) },
];

/** What can happen to one call of the email service. */
const callFaults: readonly { readonly fault: string; readonly call: CallFault }[] = [
  { fault: '400', call: { kind: 'error', status: 400 } },
  { fault: '401', call: { kind: 'error', status: 401 } },
  { fault: '429 with a short Retry-After', call: { kind: 'error', status: 429, retryAfter: 7 } },
  { fault: '429 with a long Retry-After', call: { kind: 'error', status: 429, retryAfter: 3_600 } },
  { fault: '500', call: { kind: 'error', status: 500 } },
  { fault: 'no answer', call: { kind: 'hang' } },
  { fault: 'connection dropped before it', call: { kind: 'dropBefore' } },
  { fault: 'connection dropped after it', call: { kind: 'dropAfter' } },
];

/** All cases of a job, by position. */
export function casesOf({ job }: Start, { statements, messages, statusReads }: Recording): FaultCase[][] {
  const login = loginFaults.map(({ fault, order }) => ({
    position: 'first login',
    fault,
    order,
    met: (_: TestEnvironment, { due }: FaultSetup) => due.count > 0,
  }));
  const bySql = statements.map((name, index) =>
    sqlFaults.map(({ fault, at, hangs = false, losesRecords = false, onLogin }) => ({
      position: `statement ${index + 1} (${name})`,
      fault,
      hangs,
      losesRecords,
      order: (setup: FaultSetup) => at(setup, index + 1),
      met: ({ standIn }: TestEnvironment, { due }: FaultSetup) =>
        (standIn?.statements.length ?? 0) > index && (!onLogin || due.count > 0),
    })),
  );
  if (job.kind === 'revocation') return [login, ...bySql];

  const token = [
    {
      position: 'first token for email',
      fault: 'no token',
      costsMessages: true,
      order: ({ refuseToken }: FaultSetup) => refuseToken('email', 1),
      met: (_: TestEnvironment, { due }: FaultSetup) => due.count > 0,
    },
  ];
  const emailCase = (
    position: string,
    fault: string,
    faults: readonly EmailFault[],
    met: (requests: TestEnvironment['email']['requests']) => boolean,
  ) => ({
    position,
    fault,
    costsMessages: true,
    hangs: faults.some(({ kind }) => kind === 'hang'),
    order: ({ orderEmail }: FaultSetup) => faults.forEach(orderEmail),
    met: ({ email }: TestEnvironment) => met(email.requests),
  });
  const bySend = messages.map(({ recipient, operationId }, index) => {
    const nth = index + 1;
    const position = `send ${nth} (to ${recipient})`;
    const one = (fault: string, ...faults: EmailFault[]) =>
      emailCase(
        position,
        fault,
        faults.map((order) => ({ ...order, recipient })),
        (requests) =>
          requests.some((request) => request.method === 'POST' && request.operationId === operationId),
      );
    const on = (fault: string, call: CallFault) =>
      emailCase(
        position,
        `${fault} from then on`,
        [{ ...call, at: nth, times: Infinity }],
        (requests) => requests.filter(({ method }) => method === 'POST').length >= nth,
      );
    return [
      ...callFaults.map(({ fault, call }) => one(fault, call)),
      // A message that the service fails is left until the next day, which tests/email/emailClient.test.ts has.
      ...callFaults.map(({ fault, call }) => ({
        ...one(
          `connection dropped after it, and its status answered with: ${fault}`,
          { kind: 'dropAfter' },
          {
            ...call,
            on: 'status',
          },
        ),
        losesRecords: true,
      })),
      ...callFaults.map(({ fault, call }) => on(fault, call)),
    ];
  });
  const byStatusRead = statusReads.map((recipient, index) => {
    const nth = index + 1;
    return callFaults.flatMap(({ fault, call }) =>
      [1, Infinity].map((times) =>
        emailCase(
          `status read ${nth} (of the message to ${recipient})`,
          times === 1 ? fault : `${fault} from then on`,
          [{ ...call, on: 'status', at: nth, times }],
          (requests) => requests.filter(({ method }) => method === 'GET').length >= nth,
        ),
      ),
    );
  });
  return [login, ...bySql, token, ...bySend, ...byStatusRead];
}

/** Every position once, each with another fault. */
export function sampleOf(positions: readonly FaultCase[][], seed: number): FaultCase[] {
  return positions.flatMap((cases, index) => cases[(seed + index) % cases.length] ?? []);
}

/** Runs the cases that are chosen of a job's matrix, and prints how many were run, how many held, and which did not. */
export async function runMatrix(
  environment: TestEnvironment,
  job: Job,
  choose: (positions: readonly FaultCase[][]) => readonly FaultCase[],
): Promise<{ cases: number; broken: CaseResult[] }> {
  const start = await createStart(environment, job);
  const cases = choose(casesOf(start, await record(environment, start)));
  const broken: CaseResult[] = [];
  for (const one of cases) {
    const result = await runCase(environment, start, one);
    if (result.breaches.length > 0) broken.push(result);
  }
  const lines = [
    `${job.type}: ${cases.length} cases, ${cases.length - broken.length} held`,
    ...broken.map(
      ({ position, fault, breaches }) => `  ${position}, ${fault}: ${breaches.slice(0, 4).join('; ')}`,
    ),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  return { cases: cases.length, broken };
}
