import { notServed } from '../errors';
import { Reader } from './buffers';
import { readTypedValue, type TypedValue } from './types';

export interface Parameter extends TypedValue {
  /** Lower case, with its @. */
  readonly name: string;
}

/** A client's request: a batch, or with parameters an sp_executesql call. */
export interface SqlRequest {
  readonly sql: string;
  readonly parameters: readonly Parameter[] | undefined;
}

function skipHeaders(payload: Buffer): Reader {
  const reader = new Reader(payload);
  reader.at = payload.readUInt32LE(0);
  return reader;
}

export function parseSqlBatch(payload: Buffer): SqlRequest {
  const reader = skipHeaders(payload);
  return { sql: reader.bytes(reader.left).toString('utf16le'), parameters: undefined };
}

/** In place of a procedure's name: its number follows. */
const BY_NUMBER = 0xffff;
const SP_EXECUTESQL = 10;

/** An sp_executesql call. Throws SqlError 40514 for any other procedure. */
export function parseRpc(payload: Buffer): SqlRequest {
  const reader = skipHeaders(payload);
  const length = reader.u16();
  const procedure = length === BY_NUMBER ? reader.u16() : reader.text(length);
  if (procedure !== SP_EXECUTESQL) throw notServed(`the procedure ${procedure}`);
  reader.u16();
  const all: Parameter[] = [];
  while (reader.left > 0) {
    const name = reader.text(reader.u8()).toLowerCase();
    if ((reader.u8() & 1) !== 0) throw notServed(`output parameters (${name})`);
    all.push({ name, ...readTypedValue(reader) });
  }
  return { sql: String(all[0]?.value ?? ''), parameters: all.slice(2) };
}
