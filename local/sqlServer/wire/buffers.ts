/** Reads a message's fields in order. */
export class Reader {
  at = 0;

  constructor(readonly buffer: Buffer) {}

  get left(): number {
    return this.buffer.length - this.at;
  }

  bytes(length: number): Buffer {
    const start = this.at;
    this.at += length;
    if (this.left < 0) throw new RangeError('message too short');
    return this.buffer.subarray(start, this.at);
  }

  u8 = (): number => this.bytes(1).readUInt8();
  u16 = (): number => this.bytes(2).readUInt16LE();
  u32 = (): number => this.bytes(4).readUInt32LE();
  u64 = (): bigint => this.bytes(8).readBigUInt64LE();

  /** UCS-2 text; `length` counts characters. */
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
  /** Little endian, as many bytes as asked for. */
  uint(value: number, bytes: number): void {
    const at = this.room(bytes);
    this.buffer.writeUIntLE(value, at, bytes);
  }
  u64(value: bigint): void {
    const at = this.room(8);
    this.buffer.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  }
  bytes(value: Uint8Array): void {
    const at = this.room(value.length);
    this.buffer.set(value, at);
  }
  /** UCS-2 text after its length in characters, a number of that many bytes. */
  text(value: string, lengthBytes = 1): void {
    this.uint(value.length, lengthBytes);
    const at = this.room(value.length * 2);
    this.buffer.write(value, at, 'utf16le');
  }

  /** Takes the first bytes out; without a number, all. */
  take(length = this.length): Buffer {
    const taken = Buffer.from(this.buffer.subarray(0, length));
    this.buffer.copy(this.buffer, 0, length, this.length);
    this.length -= length;
    return taken;
  }
}
