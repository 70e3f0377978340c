/** `npm run doctor -- --send-test-to`, against the email stand-in. */
import { formatFinding } from '../../cli/doctor/finding';
import { sendTestMessage } from '../../cli/doctor/testMessage';
import { trustAuthority } from '../../local/certificates';
import { startStandIns, type StandIns } from '../../local/standIns';
import { runCommand } from '../support/commands';

let standIns: StandIns;

beforeAll(async () => {
  standIns = await startStandIns({ email: { retryAfter: 0 } });
  trustAuthority(standIns.authority);
  // @azure/identity reads it from the process.
  Object.assign(process.env, standIns.identity.environment);
});
afterAll(() => standIns.close());
beforeEach(() => standIns.email.reset());

const send = async (
  recipient = 'me@example.com',
  change: Readonly<Record<string, string>> = {},
  watchMs = 30_000,
) =>
  formatFinding(
    await sendTestMessage({ ...standIns.environment, ...change }, recipient, {
      watchMs,
      statusIntervalMs: 10,
    }),
  );

test('a sample digest goes out the way a job sends it, and the finding is its final status', async () => {
  standIns.email.order({ kind: 'outcome', runningReads: 2 });
  expect(await send()).toMatch(
    /^✓ test message to me@example\.com: Succeeded: handed over .*\(operation [\da-f-]{36}\)$/,
  );
  const [message] = standIns.email.messages;
  expect(message).toMatchObject({ to: ['me@example.com'], status: 'Succeeded' });
  expect(message?.subject).toMatch(
    /^Test: Last reminder for 1: your access to 3 Databricks resources ends soon/,
  );
  expect(message?.plainText).toContain('a test, nothing ends');
  expect(message?.plainText).toContain('https://portal.example.com/requests/TEST-1/renew');
});

test('each call sends a message of its own', async () => {
  await send();
  await send();
  expect(new Set(standIns.email.messages.map(({ operationId }) => operationId)).size).toBe(2);
});

test('a message that is still on its way at the end is a warning', async () => {
  standIns.email.order({ kind: 'outcome', runningReads: 1_000 });
  expect(await send(undefined, {}, 50)).toMatch(
    /^! test message to me@example\.com: accepted, and still on its way/,
  );
});

test('what the service refuses is named with its code and what to do', async () => {
  const failure = { code: 'EmailDroppedAllRecipientsSuppressed' };
  standIns.email.order({ kind: 'outcome', failure });
  expect(await send()).toMatch(
    /^✗ .*: operation failed: EmailDroppedAllRecipientsSuppressed → the address bounced before/,
  );
  expect(standIns.email.messages).toHaveLength(1);
  standIns.email.order({ kind: 'error', status: 400, code: 'InvalidSenderUserName' });
  expect(await send()).toMatch(/^✗ .*: HTTP 400 InvalidSenderUserName → check that EMAIL_SENDER_ADDRESS/);
  standIns.email.order({ kind: 'error', status: 401, times: Infinity });
  expect(await send()).toMatch(/^✗ .*: HTTP 401 Unauthorized → check EMAIL_ENDPOINT, and that the identity/);
});

test('nothing is sent to a malformed address, or with wrong settings', async () => {
  expect(await send('me')).toMatch(/^✗ test message to me: malformed address, with no @ →/);
  expect(await send(undefined, { EMAIL_SENDER_ADDRESS: 'nobody' })).toBe(
    '– test message to me@example.com: EMAIL_SENDER_ADDRESS has to be corrected first',
  );
  expect(standIns.email.requests).toEqual([]);
});

test('the command sends it after its other findings', async () => {
  const { stdout } = await runCommand('cli/doctor.ts', ['--send-test-to', 'me@example.com'], {
    environment: standIns.environment,
  });
  const lines = stdout.trim().split('\n');
  expect(lines.at(-3)).toMatch(/^✓ test message to me@example\.com: Succeeded/);
});
