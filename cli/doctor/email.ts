import { randomUUID } from 'node:crypto';
import type { TokenCredential } from '@azure/identity';
import type { Settings } from '../../src/config/settings';
import { apiVersion } from '../../src/email/emailService';
import { errorText } from '../../src/errorText';
import { failed, ok, warning, type Finding } from './finding';
import { emailScope } from './identity';

const answerTimeoutMs = 20_000;

/**
 * Whether the email service can be reached and accepts the identity. It is asked for the status of an operation that does
 * not exist: 404 if the identity may send, else 401 or 403. Nothing is sent.
 */
export async function checkEmailEndpoint(
  { endpoint }: Pick<Settings['email'], 'endpoint'>,
  credential: TokenCredential,
): Promise<Finding> {
  const subject = `email endpoint ${endpoint}`;
  const elsewhere = "compare EMAIL_ENDPOINT with the endpoint on the communication resource's overview page";
  let response: Response;
  let body: string;
  try {
    const token = await credential.getToken(emailScope);
    response = await fetch(`${endpoint}/emails/operations/${randomUUID()}?api-version=${apiVersion}`, {
      headers: { Authorization: `Bearer ${token?.token ?? ''}` },
      signal: AbortSignal.timeout(answerTimeoutMs),
    });
    body = await response.text();
  } catch (error) {
    return failed(
      subject,
      `cannot be reached: ${errorText(error)}`,
      `${elsewhere}; check name resolution and firewall`,
    );
  }
  const { status, headers } = response;
  if (status === 401 || status === 403)
    return failed(
      subject,
      `refuses the identity (HTTP ${status})`,
      'give it the role "Communication and Email Service Owner" on the communication resource; that takes some minutes to work',
    );
  if (status === 429)
    return warning(subject, 'accepts the identity, but is throttled (HTTP 429)', 'try again later');
  if (status !== 404)
    return failed(subject, `answered HTTP ${status}`, `${elsewhere}; see Azure's service health`);
  // Every error of the service names its code: https://learn.microsoft.com/rest/api/communication/email
  if (headers.has('x-ms-error-code') || /"code"\s*:/.test(body)) return ok(subject, 'accepts the identity');
  return warning(subject, 'answered, but not as the email service does (HTTP 404 without a code)', elsewhere);
}

/** The service refuses a wrong sender only when a message is sent. */
export function describeSender({ senderAddress }: Settings['email']): Finding {
  return ok(
    `email sender ${senderAddress}`,
    "well-formed; that it is a sender of the resource's linked domain shows only when a message is sent",
  );
}
