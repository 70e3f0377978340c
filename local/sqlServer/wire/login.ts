import { Reader, Writer } from './buffers';

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly packetSize: number;
  /** Set for a federated login; `token` where it came inside LOGIN7. */
  readonly federated: { readonly token: string | undefined } | undefined;
}

/** Our side of PRELOGIN: encryption on, FEDAUTHREQUIRED echoed. */
export function preloginResponse(): Buffer {
  const options: [number, number[]][] = [
    [0, [16, 0, 0x10, 0, 0, 0]],
    [1, [1]],
    [2, [0]],
    [3, []],
    [4, [0]],
    [6, [1]],
  ];
  const table: number[] = [];
  const data: number[] = [];
  const start = options.length * 5 + 1;
  for (const [id, bytes] of options) {
    const offset = start + data.length;
    table.push(id, offset >> 8, offset & 0xff, 0, bytes.length);
    data.push(...bytes);
  }
  return Buffer.from([...table, 0xff, ...data]);
}

/** LOGIN7 ([MS-TDS] 2.2.6.4). Throws RangeError where it is malformed. */
export function parseLogin(payload: Buffer): Login {
  const text = (at: number): string => {
    const offset = payload.readUInt16LE(at);
    return payload.subarray(offset, offset + payload.readUInt16LE(at + 2) * 2).toString('utf16le');
  };
  const passwordAt = payload.readUInt16LE(44);
  const password = Buffer.from(payload.subarray(passwordAt, passwordAt + payload.readUInt16LE(46) * 2));
  for (const [i, byte] of password.entries()) {
    const plain = byte ^ 0xa5;
    password[i] = ((plain << 4) | (plain >> 4)) & 0xff;
  }
  return {
    user: text(40),
    password: password.toString('utf16le'),
    database: text(68),
    packetSize: Math.min(Math.max(payload.readUInt32LE(8), 512), 32767),
    federated: (payload.readUInt8(27) & 0x10) === 0 ? undefined : federated(payload),
  };
}

function federated(payload: Buffer): Login['federated'] {
  const reader = new Reader(payload);
  reader.at = payload.readUInt32LE(payload.readUInt16LE(56));
  for (let feature = reader.u8(); feature !== 0xff; feature = reader.u8()) {
    const data = reader.bytes(reader.u32());
    if (feature !== 2) continue;
    const library = data.readUInt8(0) >> 1;
    if (library !== 1) return { token: undefined };
    return { token: data.subarray(5, 5 + data.readUInt32LE(1)).toString('utf16le') };
  }
  return undefined;
}

/** FEDAUTHINFO: where the client gets its token, and for what. */
export function federatedInfo(): Buffer {
  const items: [number, Buffer][] = [
    [1, Buffer.from('https://login.microsoftonline.com/common', 'utf16le')],
    [2, Buffer.from('https://database.windows.net/', 'utf16le')],
  ];
  const writer = new Writer();
  const data = Buffer.concat(items.map(([, bytes]) => bytes));
  let offset = 4 + items.length * 9;
  writer.u8(0xee);
  writer.u32(offset + data.length);
  writer.u32(items.length);
  for (const [id, bytes] of items) {
    writer.u8(id);
    writer.u32(bytes.length);
    writer.u32(offset);
    offset += bytes.length;
  }
  writer.bytes(data);
  return writer.take();
}

export const parseToken = (payload: Buffer): string =>
  payload.subarray(8, 8 + payload.readUInt32LE(4)).toString('utf16le');
