import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { TokenCredential } from '@azure/identity';
import type { Connection, ConnectionConfiguration, Request } from 'tedious';
import type { Settings } from '../config/settings';
import { readRows, type Columns, type Row, type RowOf } from './columns';
import {
  ConnectionLostError,
  DatabaseUnavailableError,
  namesObjectsOnly,
  SqlError,
  StatementTimeoutError,
} from './errors';
import type { Parameter, Statement } from './statement';

export type { Row } from './columns';

/** How long opening a connection may take, in ms: a healthy server answers well within it. */
export const connectTimeoutMs = 15_000;

/** A slow statement may take this many times as long. */
export const slowFactor = 3;

/** The longest declared length of TDS; longer values are sent as (MAX). */
const maxLength = { VarChar: 8001, NVarChar: 4001 } as const;

/** One connection to the database. Statements run one at a time, in the order of the calls. */
export class Session {
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly connection: Connection,
    private readonly driver: typeof import('./driver'),
    private readonly settings: Settings['database'],
    private readonly statementTimeoutMs: number,
  ) {}

  /**
   * Opens a connection over TLS.
   * @param credential used unless the settings hold a SQL login
   * @param statementTimeout the longest that a statement may take, in ms
   * @throws DatabaseUnavailableError
   */
  static async open(
    settings: Settings['database'],
    credential: TokenCredential,
    statementTimeout: number,
  ): Promise<Session> {
    const driver = await import('./driver');
    const { login, server, port, name } = settings;
    const configuration: ConnectionConfiguration = {
      server,
      authentication:
        login.kind === 'sql'
          ? { type: 'default', options: { userName: login.user, password: login.password } }
          : { type: 'token-credential', options: { credential } },
      options: {
        port,
        database: name,
        encrypt: true,
        trustServerCertificate: settings.trustServerCertificate,
        connectTimeout: connectTimeoutMs,
        // Database retries: it knows the deadline.
        maxRetriesOnTransientErrors: 0,
        appName: 'access-expiry-jobs',
        lowerCaseGuids: true,
        useColumnNames: false,
      },
    };
    const connection = new driver.Connection(configuration);
    // A connection that breaks fails the statement under way, or the next one; without a listener it would end the process.
    connection.on('error', () => undefined);
    let number: number | undefined;
    connection.on('errorMessage', (token) => {
      number ??= token.number;
    });
    try {
      await new Promise<void>((resolve, reject) => {
        connection.connect((error) => {
          if (error) reject(error);
          else resolve();
        });
      });
    } catch (cause) {
      connection.close();
      throw unavailable(cause, number, settings);
    }
    return new Session(connection, driver, settings, statementTimeout);
  }

  /**
   * Runs one statement and returns the rows of all its result sets.
   * @throws SqlError, ConnectionLostError, StatementTimeoutError, ColumnError
   */
  async query<C extends Columns | undefined = undefined>(statement: Statement<C>): Promise<RowOf<C>[]> {
    const result = this.#last.then(() => this.#traced(statement));
    this.#last = result.catch(() => undefined);
    const rows = await result;
    const { columns, name } = statement;
    return (columns ? readRows(rows, columns, name) : rows) as RowOf<C>[];
  }

  /** Passes on the output of PRINT in the statements of `work`. */
  async onPrint<T>(listener: (message: string) => void, work: () => Promise<T>): Promise<T> {
    const onInfo = ({ number, message }: { number: number; message: string }): void => {
      if (number === 0) listener(message);
    };
    this.connection.on('infoMessage', onInfo);
    try {
      return await work();
    } finally {
      this.connection.off('infoMessage', onInfo);
    }
  }

  /** Closes the connection; the server rolls back an open transaction. */
  close(): void {
    this.connection.close();
  }

  /** A dependency in Application Insights: the statement's text, never its values. */
  #traced(statement: Statement): Promise<Row[]> {
    const { server, name } = this.settings;
    const attributes = {
      'db.system': 'mssql',
      'db.name': name,
      'db.operation': statement.name,
      'db.statement': statement.sql,
      'net.peer.name': server,
    };
    return trace
      .getTracer('access-expiry-jobs')
      .startActiveSpan(statement.name, { kind: SpanKind.CLIENT, attributes }, async (span) => {
        try {
          return await this.#execute(statement);
        } catch (error) {
          span.setStatus({
            code: SpanStatusCode.ERROR,
            message: error instanceof Error ? error.name : 'Error',
          });
          throw error;
        } finally {
          span.end();
        }
      });
  }

  #execute(statement: Statement): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      const rows: Row[] = [];
      const request: Request = new this.driver.Request(statement.sql, (error) => {
        if (error) reject(statementError(error, statement));
        else resolve(rows);
      });
      request.setTimeout(statement.slow ? slowFactor * this.statementTimeoutMs : this.statementTimeoutMs);
      request.on('row', (columns: { metadata: { colName: string }; value: unknown }[]) => {
        const row: Record<string, unknown> = {};
        for (const { metadata, value } of columns) row[metadata.colName] = value;
        rows.push(row);
      });
      if (!statement.parameters) {
        this.connection.execSqlBatch(request);
        return;
      }
      for (const [name, parameter] of Object.entries(statement.parameters))
        this.#add(request, name, parameter);
      this.connection.execSql(request);
    });
  }

  #add(request: Request, name: string, parameter: Parameter): void {
    const type = this.driver.TYPES[parameter.type];
    const length = 'length' in parameter && {
      length: parameter.length === 'max' ? maxLength[parameter.type] : parameter.length,
    };
    request.addParameter(name, type, parameter.value, length || {});
  }
}

type DriverError = Error & {
  code?: string;
  number?: number;
  lineNumber?: number;
  /** Of an AggregateError, as which tedious gives several errors. */
  errors?: readonly unknown[];
};

/** An error of tedious and all errors within it: one of them has the code or number. */
function* flatten(error: unknown): Generator<DriverError> {
  if (typeof error !== 'object' || error === null) return;
  const thrown = error as DriverError;
  yield thrown;
  for (const inner of thrown.errors ?? []) yield* flatten(inner);
  yield* flatten(thrown.cause);
}

function statementError(error: Error, statement: Statement): Error {
  const errors = [...flatten(error)];
  const fromServer = errors.find(({ number }) => number !== undefined);
  if (fromServer?.number !== undefined)
    return new SqlError(fromServer.number, fromServer.message, statement.name, fromServer.lineNumber);
  const codes = errors.map(({ code }) => code);
  if (codes.includes('ETIMEOUT')) return new StatementTimeoutError(statement, error);
  // EPARAM is a fault of ours, such as a value that is not a number; a new connection would not help.
  if (codes.includes('EPARAM')) return error;
  return new ConnectionLostError(`The connection to the database was lost in ${statement.name}`, {
    cause: error,
  });
}

function unavailable(
  cause: unknown,
  number: number | undefined,
  { server, port, name }: Settings['database'],
): DatabaseUnavailableError {
  const errors = [...flatten(cause)];
  const codes = errors.flatMap(({ code }) => code ?? []);
  const texts = [...new Set(errors.map(({ message }) => message).filter(Boolean))];
  // The driver quotes causes in the messages of what they cause.
  const messages = texts
    .filter((text) => !texts.some((other) => other !== text && other.includes(text)))
    .join(' ');
  const what = `The database ${name} on ${server}:${port} cannot be reached:`;
  const mayBeShown = number === undefined || namesObjectsOnly(number);
  const error = number === undefined ? '' : ` (SQL error ${number})`;
  const reason = mayBeShown ? `${messages}${error}` : `SQL error ${number}`;
  const hint =
    number === 18_456
      ? ' Make the identity a user of the database (npm run db:deploy -- --grant, or sql/07_AccessExpiryJobs_role.sql).'
      : codes.includes('EFEDAUTH')
        ? ' Could not get a token for the identity: check that it is assigned to the app, and AZURE_CLIENT_ID.'
        : '';
  return new DatabaseUnavailableError(`${what} ${reason}${hint}`, {
    number,
    codes,
    // A cause is printed with its error, and has what the server said.
    cause: mayBeShown ? cause : undefined,
  });
}
