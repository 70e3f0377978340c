/** docs/statements.md: what the jobs send to the database, recorded while they run against the SQL stand-in. */
import { createSampleDatabase } from '../local/sampleDatabase';
import { startStandIns } from '../local/standIns';
import { Session } from '../src/database/session';
import type { Parameter, Statement } from '../src/database/statement';
import { findJob, type Job } from '../src/jobs/catalogue';
import { runJob } from '../src/jobs/runJob';
import { createServices, type Services } from '../src/services';

const intro = `# The statements of a run

<!-- Recorded by scripts/statementsDocument.ts: npm run docs -->

What the jobs of Databricks send, as they send it; those of Palantir differ in names and in the type of the request id. The
values are samples. A statement that uses \`#Due\` needs those before it in the same query window. **Run the
statements that write in a transaction that you roll back**; SET LOCK_TIMEOUT lasts as long as the window's session.

In the code each has the name of its heading (search for it in \`src/\`). [benchmarks.md](benchmarks.md#plans) says how to see
their plans.`;

const sampleId = '6f1c2d4e-0000-4000-8000-000000000001';

/** The statements of each job in the order of a run, by name, and what each does. */
const described: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  RevokeExpiredDatabricksRequests: {
    acquireLock: 'Takes the lock: closes a dead run, inserts the row, and reads the run in progress.',
    collectDueRevocations: 'Collects the grants that are due, numbered.',
    revokeBatch: 'Revokes up to 4,000 of them, if the run still has its lock.',
    finishRun: 'Ends the run.',
  },
  ExpiryNotificationDatabricksRequests: {
    createDueTable: 'Creates the table of what is due.',
    collectDueReminders: 'Collects the grants with a reminder that is due, numbered in the order of turns.',
    readDueReminders: 'Reads a page of them, each looked up again.',
    checkLease: 'Before each message: asks whether the run still has its lock.',
    recordNotification: 'Records the grants of a message that was accepted.',
  },
};

/** @returns the text of docs/statements.md */
export async function statementsDocument(): Promise<string> {
  const standIns = await startStandIns();
  try {
    await createSampleDatabase(standIns);
    const services = await createServices(standIns.environment, () => undefined);
    const sections = [];
    for (const [type, statements] of Object.entries(described)) {
      const job = findJob(type);
      if (!job) throw new Error(`There is no job ${type}`);
      const sent = await record(services, job);
      sections.push(
        `## ${type}`,
        ...Object.entries(statements).map(([name, does]) => render(name, does, sent)),
      );
    }
    return [intro, ...sections].join('\n\n') + '\n';
  } finally {
    await standIns.close();
  }
}

/** Runs a job. @returns the statements that it sent, by name; of several the last */
async function record(services: Services, job: Job): Promise<ReadonlyMap<string, Statement>> {
  const sent = new Map<string, Statement>();
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { query } = Session.prototype;
  Session.prototype.query = function (this: Session, statement) {
    sent.set(statement.name, statement);
    return query.call(this, statement);
  } as typeof query;
  try {
    const result = await runJob(services, job, { trigger: 'timer', log: () => undefined });
    if (result.kind !== 'finished') throw new Error(`${job.type} found its lock held`);
    return sent;
  } finally {
    Session.prototype.query = query;
  }
}

function render(name: string, does: string, sent: ReadonlyMap<string, Statement>): string {
  const statement = sent.get(name);
  if (!statement) throw new Error(`The run sent no statement ${name}: ${[...sent.keys()].join(', ')}`);
  const declared = Object.entries(statement.parameters ?? {}).map(
    ([parameter, value]) => `DECLARE @${parameter} ${typeOf(value)} = ${sampleOf(parameter, value)};\n`,
  );
  return `### ${name}\n\n${does}\n\n\`\`\`sql\n${declared.join('')}${statement.sql}\n\`\`\``;
}

function typeOf(parameter: Parameter): string {
  const name = parameter.type.toUpperCase();
  return 'length' in parameter ? `${name}(${String(parameter.length).toUpperCase()})` : name;
}

/** Values that differ from run to run, by parameter. */
const samples: Readonly<Record<string, string>> = {
  startedBy: 'worker-1',
  sentTo: 'ada@example.com',
  grants: '[{"requestId":17,"dueSince":"2026-12-01T00:00:00.000"}]',
};

/** The value in T-SQL. */
function sampleOf(name: string, { value }: Parameter): string {
  if (value === null || typeof value === 'number') return String(value ?? 'NULL');
  const sample = samples[name] ?? value.replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/gi, sampleId);
  return `'${sample.replaceAll("'", "''")}'`;
}
