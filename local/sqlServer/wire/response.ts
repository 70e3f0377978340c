import type { ResultColumn } from '../dialect/compile';
import type { SqlError } from '../errors';
import type { SqlValue } from '../sqlTypes';
import { Writer } from './buffers';
import { packet, PacketType, PAYLOAD_SIZE } from './packets';
import { COLLATION, valueWriter, writeType, type ValueWriter } from './types';

const SERVER = 'sql-stand-in';

/** Tokens of a response ([MS-TDS] 2.2.7). */
const Token = {
  returnStatus: 0x79,
  columns: 0x81,
  error: 0xaa,
  info: 0xab,
  loginAck: 0xad,
  featureAck: 0xae,
  row: 0xd1,
  environment: 0xe3,
  done: 0xfd,
  doneProcedure: 0xfe,
  doneInProcedure: 0xff,
} as const;

const Done = { more: 0x01, error: 0x02, count: 0x10, attention: 0x20 } as const;

/** Types of ENVCHANGE. */
export const Change = {
  database: 1,
  language: 2,
  collation: 7,
  begin: 8,
  commit: 9,
  rollback: 10,
} as const;

/**
 * The tokens of one response message. A DONE is held back until it is known whether another token follows. Nothing is
 * sent before the end or a full buffer: a client's request timer stops at the first packet.
 */
export class Response {
  private readonly writer = new Writer();
  private done: { status: number; count: number } | undefined;
  private packetId = 0;
  private valueWriters: ValueWriter[] = [];

  constructor(
    /** Resolves when there is room again. */
    private readonly write: (data: Buffer) => Promise<void>,
    /** Procedures end their statements with DONEINPROC and themselves with DONEPROC. */
    private readonly procedure: boolean,
  ) {}

  private token(id: number): Writer {
    this.releaseDone(true);
    this.writer.u8(id);
    return this.writer;
  }

  private releaseDone(more: boolean): void {
    if (this.done === undefined) return;
    const { status, count } = this.done;
    this.done = undefined;
    const token = this.procedure ? Token.doneInProcedure : Token.done;
    this.writeDone(token, status | (more ? Done.more : 0), count);
  }

  private writeDone(token: number, status: number, count = 0): void {
    this.writer.u8(token);
    this.writer.uint(status, 2);
    this.writer.uint(0, 2);
    this.writer.u64(BigInt(count));
  }

  /** A token with its length in two bytes after its id. */
  private measured(id: number, write: (body: Writer) => void): void {
    const body = new Writer();
    write(body);
    const writer = this.token(id);
    writer.uint(body.length, 2);
    writer.bytes(body.take());
  }

  error(error: SqlError): void {
    this.message(Token.error, error.number, error.class, error.message);
  }

  info(message: string): void {
    this.message(Token.info, 0, 0, message);
  }

  private message(token: number, number: number, severity: number, message: string): void {
    this.measured(token, (body) => {
      body.uint(number, 4);
      body.u8(1);
      body.u8(severity);
      body.text(message.slice(0, 16_000), 2);
      body.text(SERVER);
      body.text('');
      body.uint(1, 4);
    });
  }

  columns(columns: readonly ResultColumn[]): void {
    const writer = this.token(Token.columns);
    this.valueWriters = columns.map(({ type }) => valueWriter(type));
    writer.uint(columns.length, 2);
    for (const { name, type, identity } of columns) {
      writer.uint(0, 4);
      writer.uint(identity ? 0x10 : 0x01, 2);
      writeType(writer, type);
      writer.text(name);
    }
  }

  /** A row of the columns that were announced last. False: the buffer is full, `flush` before going on. */
  row(values: readonly SqlValue[]): boolean {
    this.writer.u8(Token.row);
    for (const [i, write] of this.valueWriters.entries()) write(this.writer, values[i] ?? null);
    return this.writer.length < 65_536;
  }

  /** The end of a statement; `count` only where it affects or yields rows. */
  statementDone(count?: number, failed = false): void {
    this.releaseDone(true);
    const status = (count === undefined ? 0 : Done.count) | (failed ? Done.error : 0);
    this.done = { status, count: count ?? 0 };
  }

  /** Values are bytes, or text. */
  environment(change: number, now: Buffer | string, before: typeof now = Buffer.alloc(0)): void {
    this.measured(Token.environment, (body) => {
      body.u8(change);
      for (const value of [now, before]) {
        if (typeof value === 'string') body.text(value);
        else {
          body.u8(value.length);
          body.bytes(value);
        }
      }
    });
  }

  loginAcknowledged(database: string, federated: boolean): void {
    this.environment(Change.database, database, 'master');
    this.environment(Change.collation, COLLATION);
    this.environment(Change.language, 'us_english', '');
    this.measured(Token.loginAck, (body) => {
      body.bytes(Buffer.from([1, 0x74, 0, 0, 4]));
      body.text('Microsoft SQL Server');
      body.bytes(Buffer.from([16, 0, 0x10, 0]));
    });
    const features = [...(federated ? [2, 0, 0, 0, 0] : []), 0x0a, 1, 0, 0, 0, 1, 0xff];
    this.token(Token.featureAck).bytes(Buffer.from(features));
  }

  /** Sends whole packets. */
  async flush(): Promise<void> {
    const packets: Buffer[] = [];
    const whole = Math.floor((this.writer.length - 1) / PAYLOAD_SIZE) * PAYLOAD_SIZE;
    if (whole <= 0) return;
    const bytes = this.writer.take(whole);
    for (let at = 0; at < whole; at += PAYLOAD_SIZE)
      packets.push(
        packet(PacketType.response, bytes.subarray(at, at + PAYLOAD_SIZE), false, ++this.packetId),
      );
    await this.write(Buffer.concat(packets));
  }

  /** Ends the message. `attention`: it acknowledges a cancellation. */
  async end(how?: 'attention' | 'cancelled' | 'failed'): Promise<void> {
    const status = how === undefined ? 0 : how === 'attention' ? Done.attention : Done.error;
    if (this.procedure && how !== 'cancelled') {
      this.releaseDone(true);
      this.writer.u8(Token.returnStatus);
      this.writer.uint(0, 4);
      this.writeDone(Token.doneProcedure, status);
    } else if (this.done !== undefined && status === 0) this.releaseDone(false);
    else {
      this.releaseDone(true);
      this.writeDone(Token.done, status);
    }
    await this.flush();
    await this.write(packet(PacketType.response, this.writer.take(), true, ++this.packetId));
  }
}
