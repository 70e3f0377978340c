/** The fault matrix: at each step of a clean run each fault, one at a time. Each is a history of one run. */
import { jobs, type Job } from '../../src/jobs/catalogue';
import { play, type History } from '../histories/history';
import { loginFaults, mailFaults, runFaults, type Step } from '../histories/steps';
import { varied } from '../histories/world';
import { useEnvironment } from '../support/arrange';
import type { TestEnvironment } from '../support/environment';

/** The steps of a history. */
type Case = readonly Step[];

const namesOf = <T extends object>(faults: T): (keyof T)[] => Object.keys(faults) as (keyof T)[];

const firstLogin = namesOf(loginFaults).map((login): Case => [{ do: 'run', login }]);

/** A run meets a fault at a statement, and then maybe another one as it logs in again. */
const atStatement = (at: string, nth: number): Case[] =>
  [
    ...namesOf(runFaults).map((fault) => ({ fault })),
    ...namesOf(loginFaults).map(
      (login) => ({ fault: login === 'noToken' ? 'lost' : 'answerLost', login }) as const,
    ),
  ].map((faults) => [{ do: 'run', at, nth, ...faults }]);

const mailToken: Case = [{ do: 'refuseMailToken' }, { do: 'run' }];

/** A message that the service fails is left until the next day: tests/email/emailClient.test.ts has that. */
const atSend = (recipient: string, index: number): Case[] =>
  namesOf(mailFaults).flatMap((fault) => [
    [{ do: 'mail', fault, recipient }, { do: 'run' }],
    [
      { do: 'mail', fault: 'answerLost', recipient },
      { do: 'mail', fault, on: 'status', recipient },
      { do: 'run' },
    ],
    [{ do: 'mail', fault, at: index + 1, times: Infinity }, { do: 'run' }],
  ]);

const atStatusRead = (at: number): Case[] =>
  namesOf(mailFaults).flatMap((fault) =>
    [1, Infinity].map((times): Case => [{ do: 'mail', fault, on: 'status', at, times }, { do: 'run' }]),
  );

/** All cases of a job, by the positions of its faults in a clean run. */
function casesOf({ firstSteps }: History, { email }: TestEnvironment): (readonly Case[])[] {
  const statements = firstSteps.filter((name) => name !== 'send');
  const sends = email.requests.filter(({ method }) => method === 'POST');
  const recipients = sends.flatMap(({ to = [] }) => to);
  const statusReads = email.requests.length - sends.length;
  return [
    firstLogin,
    ...statements.map((name, index) =>
      atStatement(name, statements.slice(0, index + 1).filter((one) => one === name).length),
    ),
    ...(sends.length > 0 ? [[mailToken]] : []),
    ...recipients.map(atSend),
    ...Array.from({ length: statusReads }, (_, index) => atStatusRead(index + 1)),
  ];
}

type Choose = (positions: readonly (readonly Case[])[], job: Job) => readonly Case[];

/** Every position once, each with another fault. */
export const onePerPosition: Choose = (positions, job) =>
  positions.map((cases, index) => cases[(jobs.indexOf(job) * 3 + index) % cases.length] ?? []);

/**
 * Defines a test for each job, which plays the chosen cases and prints how many held.
 * @param least how many cases there are at least
 */
export function defineMatrixTests(choose: Choose, least: number): void {
  const environment = useEnvironment();

  test.each(jobs)('$type keeps every invariant under faults at every position', async (job) => {
    const start = varied(job);
    const cases = choose(casesOf(await play(environment, start, [{ do: 'run' }]), environment), job);
    const broken: string[] = [];
    for (const steps of cases)
      await play(environment, start, steps).then(
        (history) => history.isEachFaultMet || broken.push(`A fault was not met. ${history.describe()}`),
        (error: unknown) => broken.push(String(error)),
      );
    process.stdout.write(`${job.type}: ${cases.length} cases, ${cases.length - broken.length} held\n`);
    expect(cases.length).toBeGreaterThanOrEqual(least);
    expect(broken.join('\n')).toBe('');
  });
}
