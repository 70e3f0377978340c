/** TDS packets and messages ([MS-TDS] 2.2.3). */

export const PacketType = {
  batch: 0x01,
  rpc: 0x03,
  response: 0x04,
  attention: 0x06,
  federatedToken: 0x08,
  login7: 0x10,
  prelogin: 0x12,
} as const;

export interface Message {
  readonly type: number;
  readonly payload: Buffer;
  /** The client gave the message up while sending it. */
  readonly ignored: boolean;
}

const HEADER = 8;

/** Of a packet of the size that clients ask for by default. */
export const PAYLOAD_SIZE = 4096 - HEADER;

export function packet(type: number, payload: Buffer, last: boolean, id = 1): Buffer {
  const header = Buffer.from([type, last ? 1 : 0, 0, 0, 0, 0, id & 0xff, 0]);
  header.writeUInt16BE(payload.length + HEADER, 2);
  return Buffer.concat([header, payload]);
}

/** Puts messages together from chunks as they arrive. */
export class MessageReader {
  private buffer: Buffer = Buffer.alloc(0);
  private parts: Buffer[] = [];

  constructor(private readonly onMessage: (message: Message) => void) {}

  push(chunk: Buffer): void {
    this.buffer = this.buffer.length === 0 ? chunk : Buffer.concat([this.buffer, chunk]);
    while (this.buffer.length >= HEADER) {
      const length = this.buffer.readUInt16BE(2);
      if (length < HEADER) throw new RangeError('malformed packet');
      if (this.buffer.length < length) return;
      const [type = 0, status = 0] = this.buffer;
      this.parts.push(this.buffer.subarray(HEADER, length));
      this.buffer = this.buffer.subarray(length);
      if ((status & 1) === 0) continue;
      const payload = Buffer.concat(this.parts);
      this.parts = [];
      this.onMessage({ type, payload, ignored: (status & 2) !== 0 });
    }
  }
}
