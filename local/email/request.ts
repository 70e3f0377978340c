/** What the service checks in the body of a send before it accepts it. */
import * as z from 'zod';

/** A request that is answered with an error. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfter?: number | string,
  ) {
    super(message);
  }
}

const invalidAddress = 'InvalidEmailAddress';
const address = z
  .string()
  .regex(/^[^\s@<>",;:()[\]\\]+@[^\s@<>",;:()[\]\\.]+(\.[^\s@<>",;:()[\]\\.]+)+$/, invalidAddress);
const addresses = z.array(z.object({ address }).transform((entry) => entry.address));

const schema = z.object({
  senderAddress: address,
  recipients: z.object({ to: addresses.min(1, invalidAddress).max(50) }),
  content: z
    .object({
      subject: z.string().regex(/^[^\r\n]+$/, 'subject has to be one line'),
      html: z.string().optional(),
      plainText: z.string().optional(),
    })
    .refine(({ html = '', plainText = '' }) => html + plainText !== '', 'html or plainText is required'),
  replyTo: addresses.default([]),
  headers: z.record(z.string(), z.string()).default({}),
});

/** The body of a send, as far as this service reads it. */
export interface SendRequest {
  readonly sender: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly html?: string;
  readonly plainText?: string;
  readonly replyTo: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws Refusal with status 400 */
export function readSendRequest(body: Buffer): SendRequest {
  const { data, error } = schema.safeParse(parseJson(body));
  if (!data) {
    const { path = [], message = '' } = error.issues[0] ?? {};
    const code = message === invalidAddress ? invalidAddress : 'BadRequest';
    throw new Refusal(400, code, `${path.join('.')}: ${message}`);
  }
  const { senderAddress: sender, recipients, content, replyTo, headers } = data;
  const { subject, html, plainText } = content;
  return {
    sender,
    to: recipients.to,
    subject,
    ...(html && { html }),
    ...(plainText && { plainText }),
    replyTo,
    headers,
  };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new Refusal(400, 'BadRequest', 'The body is not valid JSON');
  }
}
