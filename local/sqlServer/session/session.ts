import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { SecureContext, TLSSocket } from 'node:tls';
import { SqlError, sqlError } from '../errors';
import { federatedInfo, parseLogin, parseToken, PRELOGIN_RESPONSE, type Login } from '../wire/login';
import { MessageReader, packet, PacketType, type Message } from '../wire/packets';
import { parseRpc, parseSqlBatch, type Parameter, type SqlRequest } from '../wire/requests';
import { Response } from '../wire/response';
import { startTls } from '../wire/tls';
import { Executor, type Run, type SharedState } from './executor';
import { errorOf, type Faults, type Order } from './faults';
import { Cancelled } from './lock';

/** tedious sends its settings as a batch of their own after each login. It is not a statement of the application. */
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

type Running = Pick<Run, 'response' | 'signal'> & { readonly executor: Executor };
/** What happens to the connection after a request. */
type Afterwards = 'drop' | 'end' | undefined;

/** One connection, from PRELOGIN to its end. */
export class Session {
  private stream: TLSSocket | undefined;
  private executor: Executor | undefined;
  private pendingLogin: Login | undefined;
  private running: AbortController | undefined;
  /** Once the connection is closed: resolves when its transaction has ended and its file is closed. */
  queue: Promise<void> = Promise.resolve();

  constructor(
    readonly socket: Socket,
    private readonly host: Host,
    private readonly id: number,
    /** Called when its transaction has ended and its file is closed. */
    private readonly onClose: () => void,
  ) {
    socket.setNoDelay(true);
    socket.once('close', () => this.closed());
    socket.on('error', () => socket.destroy());
    const reader = new MessageReader((message) => {
      if (message.type !== PacketType.prelogin) return void socket.destroy();
      socket.removeAllListeners('data');
      socket.write(packet(PacketType.response, PRELOGIN_RESPONSE, true));
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

  private closed(): void {
    this.running?.abort();
    this.queue = this.queue.then(() => {
      this.executor?.close();
      this.executor = undefined;
      this.onClose();
    });
  }

  private receive(message: Message): void {
    if (message.type === PacketType.attention) this.running?.abort();
    this.queue = this.queue.then(async () => {
      if (this.socket.destroyed) return;
      try {
        await this.handle(message);
      } catch {
        this.socket.destroy(); // a message that cannot be read, or a client that is gone
      }
    });
  }

  private response(procedure = false): Response {
    return new Response((data) => this.write(data), procedure);
  }

  private async write(data: Buffer): Promise<void> {
    const { stream } = this;
    if (stream === undefined || stream.destroyed) throw new Cancelled();
    if (stream.write(data)) return;
    // Closed, it aborts what is running.
    const signal = this.running?.signal;
    await once(stream, 'drain', signal && { signal }).catch(() => undefined);
  }

  private async handle(message: Message): Promise<void> {
    const { type, payload } = message;
    switch (type) {
      case PacketType.login7:
        return this.login(parseLogin(payload));
      case PacketType.federatedToken:
        return this.pendingLogin && this.finishLogin(this.pendingLogin, parseToken(payload));
      case PacketType.attention:
        return this.response().end('attention');
      case PacketType.batch:
      case PacketType.rpc:
        return this.request(message);
      default:
        this.socket.destroy();
    }
  }

  // --- login --------------------------------------------------------------------------------------------------------

  private async login(login: Login): Promise<void> {
    if (!login.federated) return this.finishLogin(login, undefined);
    this.pendingLogin = login;
    await this.write(packet(PacketType.response, federatedInfo(), true));
  }

  private async finishLogin(login: Login, token: string | undefined): Promise<void> {
    const response = this.response();
    const refusal = this.host.faults.login() ?? this.refuse(login, token);
    if (refusal !== undefined) {
      response.error(refusal);
      await response.end('failed');
      this.stream?.end();
      return;
    }
    this.executor = new Executor(this.host.file, this.host);
    response.loginAcknowledged(this.host.database, login.federated);
    await response.end();
  }

  private refuse({ user, password, database }: Login, token: string | undefined): SqlError | undefined {
    const { logins, acceptToken } = this.host;
    if (token === undefined && !(Object.hasOwn(logins, user) && logins[user] === password))
      return sqlError(18456, user);
    if (token !== undefined && !acceptToken(token)) return sqlError(18456, '<token-identified principal>');
    const known = database === '' || database.toLowerCase() === this.host.database.toLowerCase();
    return known ? undefined : sqlError(4060, database);
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  private async request({ type, payload, ignored }: Message): Promise<void> {
    const { executor } = this;
    if (executor === undefined) return void this.socket.destroy();
    const response = this.response(type === PacketType.rpc);
    if (ignored) return response.end();
    const running = new AbortController();
    const { signal } = running;
    this.running = running;
    try {
      const request = type === PacketType.rpc ? parseRpc(payload) : parseSqlBatch(payload);
      const after = await this.execute(request, { executor, response, signal });
      if (after === 'drop') return void this.socket.destroy();
      if (signal.aborted) throw new Cancelled();
      await response.end();
      if (after === 'end') this.stream?.end();
    } catch (error) {
      if (error instanceof SqlError) {
        executor.raise(error, response, false);
        await response.end();
        return;
      }
      if (!(error instanceof Cancelled)) throw error;
      executor.cancelled(response);
      await response.end('cancelled');
    } finally {
      this.running = undefined;
    }
  }

  private async execute(request: SqlRequest, run: Running): Promise<Afterwards> {
    const { sql: text, parameters = [] } = request;
    const work = () => run.executor.execute(request, run.response, run.signal);
    const initial = INITIAL_BATCH.test(text);
    if (!initial) this.host.received({ connection: this.id, text, parameters });
    const order = initial ? undefined : this.host.faults.statement(text);
    if (order !== undefined) return this.faulty(order, text, work, run);
    await work();
    return undefined;
  }

  private async faulty(
    order: Order,
    text: string,
    work: () => Promise<void>,
    { executor, response, signal }: Running,
  ): Promise<Afterwards> {
    const { fault } = order;
    switch (fault.kind) {
      case 'dropBefore':
        return 'drop';
      case 'dropAfter':
        await work();
        return 'drop';
      case 'error': {
        const error = errorOf(fault, 50000);
        const aborts = executor.xactAbort || /^\s*SET\s+XACT_ABORT\s+ON/i.test(text);
        executor.raise(error, response, error.number === 1205 || aborts);
        return error.class >= 20 ? 'end' : undefined;
      }
      case 'delay':
      case 'hang':
        await waitFor(fault.kind === 'hang' ? undefined : (fault.delayMs ?? 0), signal);
        await work();
        return undefined;
      case 'hold':
        await order.hold(waitFor(undefined, signal));
        await work();
        return undefined;
      case 'holdCommit':
      case 'answerLate':
        executor.beforeCommit = () => {
          executor.beforeCommit = undefined;
          if (fault.drop) this.socket.destroy();
          return fault.kind === 'answerLate' ? order.hold(this.host.lock.contended()) : order.hold();
        };
        await work().finally(() => (executor.beforeCommit = undefined));
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
