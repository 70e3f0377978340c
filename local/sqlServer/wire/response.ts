import type { ResultColumn } from '../dialect/emitter';
import type { SqlError } from '../errors';
import type { SqlValue } from '../sqlTypes';
import { Writer } from './buffers';
import { packet, payloadSize, PacketType } from './packets';
import { COLLATION, writeType, writeValue } from './types';

const SERVER = 'sql-stand-in';
const Done = { more: 0x01, error: 0x02, count: 0x10, attention: 0x20 } as const;

/** Where a response goes. `write` resolves when there is room again. */
export interface Output {
  write(data: Buffer): Promise<void>;
  readonly packetSize: number;
}

/**
 * The tokens of one response message. A DONE is held back until it is known whether another token follows. Nothing is
 * sent before the end or a full buffer: a client's request timer stops at the first packet.
 */
export class Response {
  private readonly writer = new Writer();
  private done: { status: number; count: number } | undefined;
  private packetId = 0;

  constructor(
    private readonly output: Output,
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
    this.writeDone(this.procedure ? 0xff : 0xfd, status | (more ? Done.more : 0), count);
  }

  private writeDone(token: number, status: number, count: number): void {
    this.writer.u8(token);
    this.writer.u16(status);
    this.writer.u16(0);
    this.writer.u64(BigInt(count));
  }

  error(error: SqlError): void {
    this.message(0xaa, error.number, error.class, error.message);
  }

  info(message: string): void {
    this.message(0xab, 0, 0, message);
  }

  private message(token: number, number: number, severity: number, message: string): void {
    const body = new Writer();
    body.u32(number);
    body.u8(1);
    body.u8(severity);
    body.longText(message.slice(0, 16_000));
    body.shortText(SERVER);
    body.shortText('');
    body.u32(1);
    const writer = this.token(token);
    writer.u16(body.length);
    writer.bytes(body.take());
  }

  columns(columns: readonly ResultColumn[]): void {
    const writer = this.token(0x81);
    writer.u16(columns.length);
    for (const { name, type, identity } of columns) {
      writer.u32(0);
      writer.u16(identity ? 0x10 : 0x01);
      writeType(writer, type);
      writer.shortText(name);
    }
  }

  /** False: the buffer is full, `flush` before going on. */
  row(columns: readonly ResultColumn[], values: readonly SqlValue[]): boolean {
    const start = this.writer.length;
    try {
      this.writer.u8(0xd1);
      for (const [i, { type }] of columns.entries()) writeValue(this.writer, type, values[i] ?? null);
    } catch (error) {
      this.writer.length = start;
      throw error;
    }
    return this.writer.length < 65_536;
  }

  /** The end of a statement; `count` only where it affects or yields rows. */
  statementDone(count: number | undefined, failed = false): void {
    this.releaseDone(true);
    this.done = {
      status: (count === undefined ? 0 : Done.count) | (failed ? Done.error : 0),
      count: count ?? 0,
    };
  }

  environment(type: number, now: Buffer, before: Buffer): void {
    const writer = this.token(0xe3);
    writer.u16(3 + now.length + before.length);
    writer.u8(type);
    writer.u8(now.length);
    writer.bytes(now);
    writer.u8(before.length);
    writer.bytes(before);
  }

  environmentText(type: number, now: string, before: string): void {
    const writer = this.token(0xe3);
    writer.u16(3 + (now.length + before.length) * 2);
    writer.u8(type);
    writer.shortText(now);
    writer.shortText(before);
  }

  collation(): void {
    this.environment(7, COLLATION, Buffer.alloc(0));
  }

  loginAcknowledged(federated: boolean): void {
    const writer = this.token(0xad);
    const name = 'Microsoft SQL Server';
    writer.u16(1 + 4 + 1 + name.length * 2 + 4);
    writer.bytes(Buffer.from([1, 0x74, 0, 0, 4]));
    writer.shortText(name);
    writer.bytes(Buffer.from([16, 0, 0x10, 0]));
    writer.u8(0xae);
    if (federated) writer.bytes(Buffer.from([2, 0, 0, 0, 0]));
    writer.bytes(Buffer.from([0x0a, 1, 0, 0, 0, 1, 0xff]));
  }

  raw(bytes: Buffer): void {
    this.writer.bytes(bytes);
  }

  /** Sends whole packets. */
  async flush(): Promise<void> {
    const size = payloadSize(this.output.packetSize);
    const packets: Buffer[] = [];
    const whole = Math.floor((this.writer.length - 1) / size) * size;
    if (whole <= 0) return;
    const bytes = this.writer.take(whole);
    for (let at = 0; at < whole; at += size)
      packets.push(packet(PacketType.response, bytes.subarray(at, at + size), false, ++this.packetId));
    await this.output.write(Buffer.concat(packets));
  }

  /** Ends the message. `attention`: it acknowledges a cancellation. */
  async end(options: { attention?: boolean; cancelled?: boolean; failed?: boolean } = {}): Promise<void> {
    const { attention = false, cancelled = false, failed = false } = options;
    const status = (attention ? Done.attention : 0) | (cancelled || failed ? Done.error : 0);
    if (this.procedure && !cancelled) {
      this.releaseDone(true);
      this.writer.u8(0x79);
      this.writer.u32(0);
      this.writeDone(0xfe, status, 0);
    } else if (this.done !== undefined && status === 0) this.releaseDone(false);
    else {
      this.releaseDone(true);
      this.writeDone(0xfd, status, 0);
    }
    await this.flush();
    await this.output.write(packet(PacketType.response, this.writer.take(), true, ++this.packetId));
  }
}
