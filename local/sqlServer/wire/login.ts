import { Reader, Writer } from './buffers';

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** The client is going to send an access token. */
  readonly federated: boolean;
}

/**
 * Our side of PRELOGIN: version 16.0, encryption on, no instance, thread or MARS, FEDAUTHREQUIRED echoed. First each
 * option's id, offset and length, then their data.
 */
export const PRELOGIN_RESPONSE = Buffer.from(
  '00001f0006 0100250001 0200260001 0300270000 0400270001 0600280001 ff 100010000000 01 00 00 01'.replaceAll(
    ' ',
    '',
  ),
  'hex',
);

const FEDERATED_AUTHENTICATION = 2;
const END_OF_FEATURES = 0xff;

/** LOGIN7 ([MS-TDS] 2.2.6.4). Throws RangeError where it is malformed. */
export function parseLogin(payload: Buffer): Login {
  const field = (at: number): Buffer => {
    const offset = payload.readUInt16LE(at);
    return payload.subarray(offset, offset + payload.readUInt16LE(at + 2) * 2);
  };
  const password = Buffer.from(field(44)).map((byte) => {
    const plain = byte ^ 0xa5;
    return (plain << 4) | (plain >> 4);
  });
  return {
    user: field(40).toString('utf16le'),
    password: Buffer.from(password).toString('utf16le'),
    database: field(68).toString('utf16le'),
    federated: (payload.readUInt8(27) & 0x10) !== 0 && isFederated(payload),
  };
}

function isFederated(payload: Buffer): boolean {
  const reader = new Reader(payload);
  reader.at = payload.readUInt32LE(payload.readUInt16LE(56));
  for (let feature = reader.u8(); feature !== END_OF_FEATURES; feature = reader.u8()) {
    if (feature === FEDERATED_AUTHENTICATION) return true;
    reader.bytes(reader.u32());
  }
  return false;
}

/** FEDAUTHINFO: where the client gets its token, and for what. */
export function federatedInfo(): Buffer {
  const items = ['https://login.microsoftonline.com/common', 'https://database.windows.net/'];
  const data = items.map((item) => Buffer.from(item, 'utf16le'));
  const writer = new Writer();
  let offset = 4 + items.length * 9;
  writer.u8(0xee);
  writer.uint(offset + Buffer.concat(data).length, 4);
  writer.uint(items.length, 4);
  for (const [i, { length }] of data.entries()) {
    writer.u8(i + 1);
    writer.uint(length, 4);
    writer.uint(offset, 4);
    offset += length;
  }
  writer.bytes(Buffer.concat(data));
  return writer.take();
}

export const parseToken = (payload: Buffer): string =>
  payload.subarray(8, 8 + payload.readUInt32LE(4)).toString('utf16le');
