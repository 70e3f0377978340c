import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { createTemporaryDirectory } from '../temporaryDirectory';
import { Catalogue } from './engine/catalogue';
import { openSqlite } from './engine/connection';
import { Executor } from './session/executor';
import { Faults, type Fault, type Held, type Holding } from './session/faults';
import { WriterLock } from './session/lock';
import { Session, type Host, type ReceivedStatement } from './session/session';

export type { Fault, Held } from './session/faults';
export type { ReceivedStatement } from './session/session';

export interface SqlServerOptions {
  /** PEM. */
  readonly tls: { readonly key: string; readonly cert: string };
  /** 'access' by default; a login that asks for another is refused with 4060. */
  readonly database?: string;
  /** SQL users and their passwords. */
  readonly logins?: Readonly<Record<string, string>>;
  /** Whether a federated login's access token is good. By default none is (18456). */
  readonly acceptToken?: (token: string) => boolean;
}

export interface SqlServer {
  readonly port: number;
  /** Every statement or batch received since the start or the last clear, in order, as sent, with its parameters. */
  readonly statements: readonly ReceivedStatement[];
  clearStatements(): void;
  order(fault: Fault & { readonly kind: Holding }): Held;
  order(fault: Fault): void;
  /** Forgets the faults that are ordered, and releases what is held. */
  clearFaults(): void;
  /** The time of GETUTCDATE(); it advances in real time. */
  readonly clock: {
    readonly advance: (ms: number) => void;
    readonly set: (date: Date) => void;
    readonly now: () => Date;
  };
  readonly openSessions: number;
  /** SQLite's plan of a T-SQL text's statements, one line a step. Throws SqlError. */
  explain(sql: string, parameters?: ReceivedStatement['parameters']): string[];
  /** Ends all sessions and resolves when the file is deleted. */
  close(): Promise<void>;
}

/** The host's time, moved by tests. */
function movableClock(): SqlServer['clock'] {
  let offset = 0;
  return {
    now: () => new Date(Date.now() + offset),
    advance: (ms) => void (offset += ms),
    set: (date) => void (offset = date.getTime() - Date.now()),
  };
}

/** An empty database in a temporary directory, in memory where the system has a directory for that. */
function createFile() {
  const directory = createTemporaryDirectory(existsSync('/dev/shm') ? '/dev/shm' : undefined);
  const file = join(directory, 'access.sqlite');
  const sqlite = openSqlite(file);
  Catalogue.create(sqlite);
  return { directory, file, sqlite };
}

/**
 * Starts the stand-in on a free port of 127.0.0.1, on a temporary SQLite file that is deleted on close. Rejects where the
 * certificate is unusable.
 */
export async function startSqlServer(options: SqlServerOptions): Promise<SqlServer> {
  const { tls, database = 'access', logins = {}, acceptToken = () => false } = options;
  const { directory, file, sqlite } = createFile();
  const statements: ReceivedStatement[] = [];
  const faults = new Faults();
  const clock = movableClock();
  const host: Host = {
    ...{ file, faults, database, logins, acceptToken },
    now: clock.now,
    lock: new WriterLock(),
    epoch: { value: 0 },
    secureContext: createSecureContext({ ...tls, maxVersion: 'TLSv1.2' }),
    received: (statement) => statements.push(statement),
  };
  const sessions = new Set<Session>();
  let connections = 0;
  const server = createServer((socket) => {
    const session = new Session(socket, host, 50 + ++connections, () => sessions.delete(session));
    sessions.add(session);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    ...{ statements, clock },
    clearStatements: () => void statements.splice(0),
    order: (fault) => faults.order(fault),
    clearFaults: () => faults.clear(),
    get openSessions() {
      return sessions.size;
    },
    explain: (sql, parameters = []) => explain(host, sql, parameters),
    close: async () => {
      faults.clear();
      const open = [...sessions];
      for (const { socket } of open) socket.destroy();
      await once(server.close(), 'close');
      await Promise.all(open.map(({ queue }) => queue));
      sqlite.close();
      rmSync(directory, { recursive: true });
    },
  };
}

function explain(host: Host, sql: string, parameters: ReceivedStatement['parameters']): string[] {
  const executor = new Executor(host.file, host);
  try {
    return executor.explain(sql, parameters);
  } finally {
    executor.close();
  }
}
