import { Connection, Request, TYPES, type ConnectionConfiguration } from 'tedious';
import { createCertificates, trustAuthority } from '../../local/certificates';
import { startSqlServer, type SqlServer } from '../../local/sqlServer';

export { TYPES };

const LOGIN = { user: 'app', password: 'Secret-1' };

/** For all servers of a test file, trusted by this process as production code would trust it. */
const certificates = createCertificates().then(({ authority, ...tls }) => {
  trustAuthority(authority);
  return tls;
});

export async function startServer(): Promise<SqlServer> {
  return startSqlServer({ tls: await certificates, logins: { [LOGIN.user]: LOGIN.password } });
}

export interface Answer {
  /** All rows of all result sets. */
  readonly rows: Record<string, unknown>[];
  /** The types of the last result set's columns. */
  readonly types: string[];
}

export interface Parameter {
  readonly type: (typeof TYPES)[keyof typeof TYPES];
  readonly value: unknown;
}

export type ClientOptions = Partial<ConnectionConfiguration>;

/** A tedious connection whose requests are awaited. */
export class Client {
  private constructor(readonly connection: Connection) {}

  static async open({ port }: SqlServer, { options, ...rest }: ClientOptions = {}): Promise<Client> {
    const connection = new Connection({
      server: 'localhost',
      authentication: { type: 'default', options: { userName: LOGIN.user, password: LOGIN.password } },
      ...rest,
      options: { port, database: 'access', encrypt: true, trustServerCertificate: false, ...options },
    });
    connection.on('error', () => undefined);
    await new Promise<void>((resolve, reject) =>
      connection.connect((error) => (error ? reject(error) : resolve())),
    );
    return new Client(connection);
  }

  /** As a SQL batch; with a `timeout` in ms, the client gives it up after that. */
  batch(sql: string, timeout?: number): Promise<Answer> {
    return this.send(sql, (request) => {
      if (timeout !== undefined) request.setTimeout(timeout);
      this.connection.execSqlBatch(request);
    });
  }

  /** As sp_executesql. */
  sql(sql: string, parameters: Record<string, Parameter> = {}): Promise<Answer> {
    return this.send(sql, (request) => {
      for (const [name, { type, value }] of Object.entries(parameters))
        request.addParameter(name, type, value);
      this.connection.execSql(request);
    });
  }

  private send(sql: string, start: (request: Request) => void): Promise<Answer> {
    const answer: Answer = { rows: [], types: [] };
    return new Promise<Answer>((resolve, reject) => {
      const request = new Request(sql, (error) => {
        if (error) reject(error);
        else resolve(answer);
      });
      request.on('columnMetadata', (metadata) => {
        const columns = metadata as { type: { name: string } }[];
        answer.types.splice(0, Infinity, ...columns.map(({ type }) => type.name));
      });
      request.on('row', (row: { metadata: { colName: string }; value: unknown }[]) => {
        answer.rows.push(Object.fromEntries(row.map(({ metadata, value }) => [metadata.colName, value])));
      });
      start(request);
    });
  }

  close(): Promise<void> {
    if (this.connection.closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.connection.once('end', () => resolve());
      this.connection.close();
    });
  }
}
