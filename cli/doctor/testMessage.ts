import { randomUUID } from 'node:crypto';
import { deadlineIn, systemClock } from '../../src/clock';
import { readSettings, type Environment } from '../../src/config/settings';
import { describeMalformed, isEmailAddress } from '../../src/email/address';
import type { Digest } from '../../src/email/digest';
import { EmailClient, type EmailTimings, type SendOutcome } from '../../src/email/emailClient';
import { createDigests } from '../../src/email/message';
import { createCommandCredential } from '../credential';
import { failed, ok, skipped, warning, type Finding } from './finding';

/** How long to wait for the final status, and for everything. In ms. */
const defaultWatchMs = 2 * 60_000;
const timeBudgetMs = 5 * 60_000;

const msPerDay = 24 * 60 * 60 * 1000;

/**
 * Sends a digest with made-up grants the way a job does, and finds its final status.
 * @param timings shortened by tests
 */
export async function sendTestMessage(
  environment: Environment,
  recipient: string,
  timings: Partial<EmailTimings> = {},
): Promise<Finding> {
  const subject = `test message to ${recipient}`;
  if (!isEmailAddress(recipient))
    return failed(
      subject,
      `malformed address, with ${describeMalformed(recipient)}`,
      'give one plain address, for example me@example.com',
    );
  const settings = readSettings(environment);
  const wrong = settings.problems.find(({ group }) => group === 'email');
  if (wrong) return skipped(subject, `${wrong.setting} has to be corrected first`);

  const credential = await createCommandCredential(environment, settings.identityClientId);
  const client = new EmailClient(settings.email, credential, { watchMs: defaultWatchMs, ...timings });
  const options = { platformName: 'Databricks', lastLeadDays: 1, email: settings.email };
  const [message] = createDigests(sampleDigest(recipient), options, randomUUID());
  if (!message) throw new Error('A digest with grants has a message');
  const test = { ...message, subject: `Test: ${message.subject}` };
  const outcome = await client.send(test, deadlineIn(systemClock, timeBudgetMs), () => Promise.resolve());
  return describeOutcome(subject, message.operationId, outcome);
}

function describeOutcome(subject: string, operationId: string, outcome: SendOutcome): Finding {
  if (outcome.kind === 'accepted')
    return outcome.succeeded
      ? ok(subject, `Succeeded: handed over to the recipient's mail system (operation ${operationId})`)
      : warning(
          subject,
          `accepted, and still on its way (operation ${operationId})`,
          "look for it in the recipient's mailbox, or in the logs of the email service",
        );
  const { kind, reason } = outcome;
  const advice =
    kind !== 'rejected'
      ? 'check EMAIL_ENDPOINT, and that the identity has the role "Communication and Email Service Owner"'
      : reason.includes('Suppressed')
        ? 'the address bounced before: see "rejected-mails" in docs/operating.md'
        : "check that EMAIL_SENDER_ADDRESS is a sender of the resource's linked domain, and the recipient's address";
  return failed(subject, reason, advice);
}

/** A grant at each of the default reminders. Each says that it is a test, as the subject does. */
function sampleDigest(recipient: string): Digest {
  const now = new Date();
  const grants = [1, 7, 14].map((leadDays) => ({
    requestId: leadDays,
    requestNumber: `TEST-${leadDays}`,
    requesterName: '',
    resource: `example.test_message.table_${leadDays} (a test, nothing ends)`,
    expiresAt: new Date(Math.floor(now.getTime() / 60_000) * 60_000 + leadDays * msPerDay),
    leadDays,
    remindedBefore: leadDays < 14,
    dueSince: now,
  }));
  return { recipient, grants };
}
