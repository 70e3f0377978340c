/** The stand-ins for Azure on this machine: SQL, the managed identity and the email service. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCertificates } from './certificates';
import { startEmailService, type EmailOptions, type EmailService } from './email';
import { startIdentity, type Identity } from './identity';
import { startSqlServer, type SqlServer } from './sqlServer';
import { createTemporaryDirectory } from './temporaryDirectory';

export interface StandIns {
  readonly sql: SqlServer;
  readonly identity: Identity;
  readonly email: EmailService;
  /** The certificate authority to trust, in PEM. */
  readonly authority: string;
  /** The environment of an app that uses them: its settings, its identity and the authority to trust. */
  readonly environment: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export interface StandInOptions {
  /** The port of the mailbox page; 0, the default, takes a free one. */
  readonly mailboxPort?: number;
  /** For the email service. */
  readonly email?: Partial<Pick<EmailOptions, 'keepBodies' | 'retryAfter' | 'acceptToken'>>;
}

/** Starts them on free ports of 127.0.0.1. If one fails to start, those that did are closed. */
export async function startStandIns({
  mailboxPort = 0,
  email: emailOptions,
}: StandInOptions = {}): Promise<StandIns> {
  await using started = new AsyncDisposableStack();
  const { authority, ...tls } = await createCertificates();
  const directory = started.adopt(createTemporaryDirectory(), (path) => rmSync(path, { recursive: true }));
  const authorityFile = join(directory, 'authority.pem');
  writeFileSync(authorityFile, authority);
  const identity = started.adopt(await startIdentity(), (server) => server.close());
  const sql = started.adopt(
    await startSqlServer({
      tls,
      database: 'access',
      acceptToken: (token) => identity.isValid(token, 'https://database.windows.net'),
    }),
    (server) => server.close(),
  );
  const email = started.adopt(
    await startEmailService({
      tls,
      mailboxPort,
      acceptToken: (token) => identity.isValid(token, 'https://communication.azure.com'),
      ...emailOptions,
    }),
    (server) => server.close(),
  );
  const running = started.move();
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
      REQUEST_URL_TEMPLATE: 'https://portal.example.com/requests/new?like={requestNumber}',
    },
    close: () => running.disposeAsync(),
  };
}
