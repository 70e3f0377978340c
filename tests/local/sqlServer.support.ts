import { randomUUID } from 'node:crypto';
import { generate } from 'selfsigned';
import * as tls from 'node:tls';
import { Connection, Request, TYPES, type ConnectionConfiguration } from 'tedious';
import { startSqlServer, type SqlServer, type SqlServerOptions } from '../../local/sqlServer';

export { TYPES };

export const LOGIN = { user: 'app', password: 'Secret-1' };
export const TOKEN = 'a-good-token';

let certificate: Promise<{ key: string; cert: string }> | undefined;

/**
 * One certificate for all servers of a test file, trusted by this process as production code would trust it. Its name is
 * its own: jest runs several files in a process, and of two authorities of one name only the first is found.
 */
function trustedCertificate(): Promise<{ key: string; cert: string }> {
  certificate ??= generate([{ name: 'commonName', value: `SQL stand-in ${randomUUID()}` }], {
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  }).then(({ private: key, cert }) => {
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), cert]);
    return { key, cert };
  });
  return certificate;
}

export async function startServer(options: Partial<SqlServerOptions> = {}): Promise<SqlServer> {
  return startSqlServer({
    tls: await trustedCertificate(),
    logins: { [LOGIN.user]: LOGIN.password },
    acceptToken: (token) => token === TOKEN,
    ...options,
  });
}

export interface Column {
  readonly name: string;
  readonly type: string;
}

export interface Answer {
  /** All rows of all result sets. */
  readonly rows: Record<string, unknown>[];
  readonly columns: Column[];
  readonly rowCount: number;
  readonly infos: string[];
}

export interface Parameter {
  readonly type: (typeof TYPES)[keyof typeof TYPES];
  readonly value: unknown;
  readonly length?: number;
  readonly scale?: number;
}

/** A tedious connection whose requests are awaited. */
export class Client {
  private constructor(readonly connection: Connection) {}

  static async open(
    server: SqlServer,
    options: Partial<ConnectionConfiguration> = {},
    more: ConnectionConfiguration['options'] = {},
  ): Promise<Client> {
    const connection = new Connection({
      server: 'localhost',
      authentication: { type: 'default', options: { userName: LOGIN.user, password: LOGIN.password } },
      ...options,
      options: {
        port: server.port,
        database: 'access',
        encrypt: true,
        trustServerCertificate: false,
        ...more,
      },
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
      for (const [name, { type, value, length, scale }] of Object.entries(parameters)) {
        request.addParameter(name, type, value, {
          ...(length && { length }),
          ...(scale !== undefined && { scale }),
        });
      }
      this.connection.execSql(request);
    });
  }

  private send(sql: string, start: (request: Request) => void): Promise<Answer> {
    const rows: Record<string, unknown>[] = [];
    const infos: string[] = [];
    let columns: Column[] = [];
    const onInfo = (info: { message: string }): void => void infos.push(info.message);
    this.connection.on('infoMessage', onInfo);
    return new Promise<Answer>((resolve, reject) => {
      const request = new Request(sql, (error, rowCount) => {
        this.connection.off('infoMessage', onInfo);
        if (error) reject(error);
        else resolve({ rows, columns, rowCount: rowCount ?? 0, infos });
      });
      request.on('columnMetadata', (metadata) => {
        columns = (metadata as { colName: string; type: { name: string } }[]).map(({ colName, type }) => ({
          name: colName,
          type: type.name,
        }));
      });
      request.on('row', (row: { metadata: { colName: string }; value: unknown }[]) => {
        rows.push(Object.fromEntries(row.map(({ metadata, value }) => [metadata.colName, value])));
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
