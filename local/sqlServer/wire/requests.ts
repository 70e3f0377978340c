import { SqlError } from '../errors';
import { Reader } from './buffers';
import { readTypedValue, type TypedValue } from './types';

export interface Parameter extends TypedValue {
  /** Lower case, with its @. */
  readonly name: string;
}

function skipHeaders(payload: Buffer): Reader {
  const reader = new Reader(payload);
  reader.at = payload.readUInt32LE(0);
  return reader;
}

export function parseSqlBatch(payload: Buffer): string {
  const reader = skipHeaders(payload);
  return reader.bytes(reader.left).toString('utf16le');
}

const SP_EXECUTESQL = 10;

/** An sp_executesql call. Throws SqlError 50000 for any other procedure. */
export function parseRpc(payload: Buffer): { sql: string; parameters: Parameter[] } {
  const reader = skipHeaders(payload);
  const length = reader.u16();
  const procedure = length === 0xffff ? reader.u16() : reader.text(length);
  reader.u16();
  const all: Parameter[] = [];
  while (reader.left > 0) {
    const name = reader.text(reader.u8()).toLowerCase();
    const status = reader.u8();
    if ((status & 1) !== 0)
      throw new SqlError(50000, `The SQL stand-in does not serve output parameters (${name})`);
    all.push({ name, ...readTypedValue(reader) });
  }
  if (procedure !== SP_EXECUTESQL && String(procedure).toLowerCase() !== 'sp_executesql') {
    throw new SqlError(50000, `The SQL stand-in does not serve the procedure ${procedure}`);
  }
  return { sql: String(all[0]?.value ?? ''), parameters: all.slice(2) };
}

export type TransactionRequest = 'begin' | 'commit' | 'rollback' | 'save';

const TRANSACTION_REQUESTS: Readonly<Record<number, TransactionRequest>> = {
  5: 'begin',
  7: 'commit',
  8: 'rollback',
  9: 'save',
};

/** A transaction manager request. Throws SqlError 50000. */
export function parseTransactionRequest(payload: Buffer): TransactionRequest {
  const number = skipHeaders(payload).u16();
  const kind = TRANSACTION_REQUESTS[number];
  if (kind !== undefined) return kind;
  throw new SqlError(50000, `The SQL stand-in does not serve transaction request ${number}`);
}
