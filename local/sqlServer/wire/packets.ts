/** TDS packets and messages ([MS-TDS] 2.2.3). */

export const PacketType = {
  batch: 0x01,
  rpc: 0x03,
  response: 0x04,
  attention: 0x06,
  federatedToken: 0x08,
  transaction: 0x0e,
  login7: 0x10,
  prelogin: 0x12,
} as const;

export interface Message {
  readonly type: number;
  readonly payload: Buffer;
  /** The client gave the message up while sending it. */
  readonly ignored: boolean;
  /** RESETCONNECTION: put the session back to its start first. */
  readonly reset: boolean;
}

const HEADER = 8;

export function packet(type: number, payload: Buffer, last: boolean, id = 1): Buffer {
  const header = Buffer.alloc(HEADER);
  header[0] = type;
  header[1] = last ? 1 : 0;
  header.writeUInt16BE(payload.length + HEADER, 2);
  header[6] = id & 0xff;
  return Buffer.concat([header, payload]);
}

/** Puts messages together from chunks as they arrive. */
export class MessageReader {
  private buffer: Buffer = Buffer.alloc(0);
  private parts: Buffer[] = [];
  private reset = false;

  constructor(private readonly onMessage: (message: Message) => void) {}

  push(chunk: Buffer): void {
    this.buffer = this.buffer.length === 0 ? chunk : Buffer.concat([this.buffer, chunk]);
    while (this.buffer.length >= HEADER) {
      const length = this.buffer.readUInt16BE(2);
      if (length < HEADER) throw new RangeError('malformed packet');
      if (this.buffer.length < length) return;
      const status = this.buffer.readUInt8(1);
      this.reset ||= (status & 0x08) !== 0;
      this.parts.push(this.buffer.subarray(HEADER, length));
      const type = this.buffer.readUInt8(0);
      this.buffer = this.buffer.subarray(length);
      if ((status & 1) === 0) continue;
      const message = {
        type,
        payload: Buffer.concat(this.parts),
        ignored: (status & 2) !== 0,
        reset: this.reset,
      };
      this.parts = [];
      this.reset = false;
      this.onMessage(message);
    }
  }
}

/** What of a packet is not its header. */
export const payloadSize = (packetSize: number): number => packetSize - HEADER;
