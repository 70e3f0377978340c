/** All that stands in for Azure on this machine: SQL, the managed identity and the email service. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCertificates } from './certificates';
import { startEmailService, type EmailOptions, type EmailService } from './email';
import { startIdentity, type Identity } from './identity';
import { startSqlServer, type SqlServer } from './sqlServer';

export interface StandIns {
  readonly sql: SqlServer;
  readonly identity: Identity;
  readonly email: EmailService;
  /** The certificate authority to trust, in PEM. */
  readonly authority: string;
  /** The environment of an app process that is to use them: its settings, its identity and the authority to trust. */
  readonly environment: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export interface StandInOptions {
  /** The port of the mailbox page; 0, the default, takes a free one. */
  readonly mailboxPort?: number;
  /** For the email service. */
  readonly email?: Partial<Pick<EmailOptions, 'latencyMs' | 'keepBodies' | 'retryAfter'>>;
}

/** Starts them on free ports of 127.0.0.1. */
export async function startStandIns({
  mailboxPort = 0,
  email: emailOptions,
}: StandInOptions = {}): Promise<StandIns> {
  const { authority, ...tls } = await createCertificates();
  const directory = mkdtempSync(join(tmpdir(), 'access-expiry-jobs-'));
  const authorityFile = join(directory, 'authority.pem');
  writeFileSync(authorityFile, authority);
  const identity = await startIdentity();
  const sql = await startSqlServer({
    tls,
    database: 'access',
    acceptToken: (token) => identity.isValid(token, 'https://database.windows.net'),
  });
  const email = await startEmailService({
    tls,
    mailboxPort,
    ...emailOptions,
    acceptToken: (token) => identity.isValid(token, 'https://communication.azure.com'),
  });
  return {
    sql,
    identity,
    email,
    authority,
    environment: {
      ...identity.environment,
      NODE_EXTRA_CA_CERTS: authorityFile,
      SQL_SERVER: 'localhost',
      SQL_PORT: String(sql.port),
      SQL_DATABASE: 'access',
      EMAIL_ENDPOINT: email.endpoint,
      EMAIL_SENDER_ADDRESS: 'access@example.com',
      RENEWAL_URL_TEMPLATE: 'https://portal.example.com/requests/{requestNumber}/renew',
    },
    async close() {
      await Promise.all([sql.close(), identity.close(), email.close()]);
      rmSync(directory, { recursive: true });
    },
  };
}
