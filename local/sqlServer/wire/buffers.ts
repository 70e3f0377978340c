/** Reads a message's fields in order. */
export class Reader {
  at = 0;

  constructor(readonly buffer: Buffer) {}

  get left(): number {
    return this.buffer.length - this.at;
  }

  private move(length: number): number {
    this.at += length;
    return this.at - length;
  }

  u8 = (): number => this.buffer.readUInt8(this.move(1));
  u16 = (): number => this.buffer.readUInt16LE(this.move(2));
  u32 = (): number => this.buffer.readUInt32LE(this.move(4));
  u64 = (): bigint => this.buffer.readBigUInt64LE(this.move(8));

  bytes(length: number): Buffer {
    const start = this.move(length);
    if (this.left < 0) throw new RangeError('message too short');
    return this.buffer.subarray(start, start + length);
  }

  /** UCS-2 text of so many characters. */
  text(length: number): string {
    return this.bytes(length * 2).toString('utf16le');
  }
}

/** Appends fields to a buffer that grows. */
export class Writer {
  private buffer = Buffer.allocUnsafe(8192);
  length = 0;

  private room(length: number): number {
    const start = this.length;
    this.length += length;
    if (this.length > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length));
      this.buffer.copy(grown, 0, 0, start);
      this.buffer = grown;
    }
    return start;
  }

  u8(value: number): void {
    const at = this.room(1);
    this.buffer[at] = value;
  }
  u16(value: number): void {
    const at = this.room(2);
    this.buffer.writeUInt16LE(value, at);
  }
  u32(value: number): void {
    const at = this.room(4);
    this.buffer.writeUInt32LE(value, at);
  }
  i32(value: number): void {
    const at = this.room(4);
    this.buffer.writeInt32LE(value, at);
  }
  u64(value: bigint): void {
    const at = this.room(8);
    this.buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  }
  f64(value: number): void {
    const at = this.room(8);
    this.buffer.writeDoubleLE(value, at);
  }
  /** Little endian, as many bytes as asked for. */
  uint(value: number, bytes: number): void {
    const at = this.room(bytes);
    this.buffer.writeUIntLE(value, at, bytes);
  }
  bytes(value: Uint8Array): void {
    const at = this.room(value.length);
    this.buffer.set(value, at);
  }
  text(value: string): void {
    const at = this.room(value.length * 2);
    this.buffer.write(value, at, 'utf16le');
  }
  /** Text after its length in characters. */
  shortText(value: string): void {
    this.u8(value.length);
    this.text(value);
  }
  longText(value: string): void {
    this.u16(value.length);
    this.text(value);
  }

  /** Takes the first bytes out; without a number, all. */
  take(length = this.length): Buffer {
    const taken = Buffer.from(this.buffer.subarray(0, length));
    this.buffer.copy(this.buffer, 0, length, this.length);
    this.length -= length;
    return taken;
  }
}
