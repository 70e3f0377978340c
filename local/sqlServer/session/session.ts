import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { SecureContext, TLSSocket } from 'node:tls';
import { SqlError } from '../errors';
import { federatedInfo, parseLogin, parseToken, preloginResponse, type Login } from '../wire/login';
import { MessageReader, packet, PacketType, type Message } from '../wire/packets';
import { parseRpc, parseSqlBatch, parseTransactionRequest, type Parameter } from '../wire/requests';
import { Response } from '../wire/response';
import { startTls } from '../wire/tls';
import { Executor, type SharedState } from './executor';
import type { Faults, Order } from './faults';
import { Cancelled } from './lock';

/** tedious sends its settings as a batch of their own after each login; it is no statement of the application's. */
const INITIAL_BATCH = /^set ansi_nulls (on|off)\n/;

export interface ReceivedStatement {
  readonly connection: number;
  readonly text: string;
  readonly parameters: readonly Parameter[];
}

export interface Host extends SharedState {
  readonly file: string;
  readonly secureContext: SecureContext;
  readonly faults: Faults;
  readonly logins: Readonly<Record<string, string>>;
  readonly acceptToken: (token: string) => boolean;
  readonly received: (statement: ReceivedStatement) => void;
}

/** One connection, from PRELOGIN to its end. */
export class Session {
  private stream: TLSSocket | undefined;
  private executor: Executor | undefined;
  private pendingLogin: Login | undefined;
  private running: AbortController | undefined;
  private queue: Promise<void> = Promise.resolve();
  packetSize = 4096;

  constructor(
    private readonly socket: Socket,
    private readonly host: Host,
    private readonly id: number,
    /** Called when its transaction and file are let go of. */
    private readonly onClose: () => void,
  ) {
    socket.setNoDelay(true);
    socket.once('close', () => this.closed());
    socket.on('error', () => socket.destroy());
    const reader = new MessageReader((message) => {
      if (message.type !== PacketType.prelogin) return void socket.destroy();
      socket.removeAllListeners('data');
      socket.write(packet(PacketType.response, preloginResponse(), true));
      this.secure();
    });
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
  }

  private secure(): void {
    const stream = startTls(this.socket, this.host.secureContext);
    this.stream = stream;
    const reader = new MessageReader((message) => this.receive(message));
    stream.on('error', () => this.socket.destroy());
    stream.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch {
        this.socket.destroy(); // a malformed packet: nothing after it can be read
      }
    });
    stream.on('end', () => this.socket.destroy());
  }

  destroy(): void {
    this.socket.destroy();
  }

  private closed(): void {
    this.running?.abort();
    this.queue = this.queue.then(() => {
      this.executor?.close();
      this.executor = undefined;
      this.onClose();
    });
  }

  /** Resolves when the session's transaction and file are let go of. */
  async ended(): Promise<void> {
    await this.queue;
  }

  private receive(message: Message): void {
    if (message.type === PacketType.attention) {
      const { running } = this;
      running?.abort();
      this.enqueue(() => this.response(false).end({ attention: true }));
      return;
    }
    this.enqueue(() => this.handle(message));
  }

  private enqueue(work: () => Promise<void>): void {
    this.queue = this.queue.then(async () => {
      if (this.socket.destroyed) return;
      try {
        await work();
      } catch {
        this.socket.destroy(); // a message that cannot be read, or a client that is gone
      }
    });
  }

  private response(procedure: boolean): Response {
    return new Response({ packetSize: this.packetSize, write: (data) => this.write(data) }, procedure);
  }

  private async write(data: Buffer): Promise<void> {
    const { stream } = this;
    if (stream === undefined || stream.destroyed) throw new Cancelled();
    if (stream.write(data)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off('drain', done);
        stream.off('close', done);
        this.running?.signal.removeEventListener('abort', done);
        resolve();
      };
      stream.on('drain', done);
      stream.on('close', done);
      this.running?.signal.addEventListener('abort', done);
    });
  }

  private async handle(message: Message): Promise<void> {
    switch (message.type) {
      case PacketType.login7:
        return this.login(parseLogin(message.payload));
      case PacketType.federatedToken:
        return this.pendingLogin && this.finishLogin(this.pendingLogin, parseToken(message.payload));
      case PacketType.batch:
      case PacketType.rpc:
      case PacketType.transaction:
        return this.request(message);
      default:
        this.socket.destroy();
    }
  }

  // --- login --------------------------------------------------------------------------------------------------------

  private async login(login: Login): Promise<void> {
    if (login.federated !== undefined && login.federated.token === undefined) {
      this.pendingLogin = login;
      const response = this.response(false);
      response.raw(federatedInfo());
      return response.end();
    }
    return this.finishLogin(login, login.federated?.token);
  }

  private async finishLogin(login: Login, token: string | undefined): Promise<void> {
    const response = this.response(false);
    const refusal = this.host.faults.login() ?? this.refuse(login, token);
    if (refusal !== undefined) {
      response.error(refusal);
      await response.end({ failed: true });
      this.stream?.end();
      return;
    }
    this.executor = new Executor(this.host.file, this.host, this.id);
    this.executor.login = token === undefined ? login.user : 'federated';
    response.environmentText(1, this.host.database, 'master');
    response.collation();
    response.environmentText(2, 'us_english', '');
    response.environmentText(4, String(login.packetSize), '4096');
    response.loginAcknowledged(login.federated !== undefined);
    await response.end();
    this.packetSize = login.packetSize;
  }

  private refuse(login: Login, token: string | undefined): SqlError | undefined {
    const { logins, acceptToken, database } = this.host;
    const known =
      token === undefined
        ? Object.hasOwn(logins, login.user) && logins[login.user] === login.password
        : acceptToken(token);
    if (!known)
      return new SqlError(
        18456,
        `Login failed for user '${token === undefined ? login.user : '<token-identified principal>'}'.`,
      );
    if (login.database === '' || login.database.toLowerCase() === database.toLowerCase()) return undefined;
    return new SqlError(
      4060,
      `Cannot open database "${login.database}" requested by the login. The login failed.`,
    );
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  private async request(message: Message): Promise<void> {
    const { executor } = this;
    if (executor === undefined) return void this.socket.destroy();
    const response = this.response(message.type === PacketType.rpc);
    if (message.ignored) return response.end();
    if (message.reset) {
      executor.reset();
      response.environment(18, Buffer.alloc(0), Buffer.alloc(0));
    }
    const running = new AbortController();
    this.running = running;
    try {
      const after = await this.execute(message, executor, response, running.signal);
      if (after === 'drop') return void this.socket.destroy();
      if (running.signal.aborted) throw new Cancelled();
      await response.end();
      if (after === 'end') this.stream?.end();
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
      executor.cancelled(response);
      await response.end({ cancelled: true });
    } finally {
      this.running = undefined;
    }
  }

  private async execute(
    message: Message,
    executor: Executor,
    response: Response,
    signal: AbortSignal,
  ): Promise<'drop' | 'end' | undefined> {
    let text = '';
    let parameters: Parameter[] = [];
    let work: () => Promise<void> | void;
    try {
      if (message.type === PacketType.batch) {
        text = parseSqlBatch(message.payload);
        work = () => executor.batch(text, response, signal);
      } else if (message.type === PacketType.rpc) {
        ({ sql: text, parameters } = parseRpc(message.payload));
        work = () => executor.procedure(text, parameters, response, signal);
      } else {
        const kind = parseTransactionRequest(message.payload);
        text = `${kind.toUpperCase()} TRANSACTION`;
        work = () => executor.transaction(kind, response);
      }
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      executor.raise(error, response, false);
      return undefined;
    }
    if (INITIAL_BATCH.test(text)) {
      await work();
      return undefined;
    }
    this.host.received({ connection: this.id, text, parameters });
    const order = this.host.faults.statement(text);
    if (order !== undefined) return this.faulty(order, text, work, executor, response, signal);
    await work();
    return undefined;
  }

  private async faulty(
    order: Order,
    text: string,
    work: () => Promise<void> | void,
    executor: Executor,
    response: Response,
    signal: AbortSignal,
  ): Promise<'drop' | 'end' | undefined> {
    const { fault } = order;
    switch (fault.kind) {
      case 'dropBefore':
        return 'drop';
      case 'dropAfter':
        await work();
        return 'drop';
      case 'error': {
        const error = new SqlError(fault.number ?? 50000, fault.message);
        executor.raise(
          error,
          response,
          error.number === 1205 || executor.aborts || /^\s*SET\s+XACT_ABORT\s+ON/i.test(text),
        );
        return error.class >= 20 ? 'end' : undefined;
      }
      case 'delay':
      case 'hang':
        await waitFor(fault.kind === 'hang' ? undefined : (fault.delayMs ?? 0), signal);
        await work();
        return undefined;
      case 'holdCommit':
      case 'answerLate':
        executor.beforeCommit = () => {
          executor.beforeCommit = undefined;
          if (fault.drop) this.socket.destroy();
          return order.hold(() => this.host.lock.contended());
        };
        try {
          await work();
        } finally {
          executor.beforeCommit = undefined;
        }
        return undefined;
      case 'refuseLogin':
        throw new Error('a login fault met a statement');
    }
  }
}

/** Without a time: until the signal. Throws Cancelled when that comes first. */
async function waitFor(milliseconds: number | undefined, signal: AbortSignal): Promise<void> {
  try {
    await delay(milliseconds ?? 2 ** 31 - 1, undefined, { signal, ref: milliseconds !== undefined });
  } catch {
    throw new Cancelled();
  }
}
