import { flag, nullable, number, text } from '../../src/database/columns';
import type { Session } from '../../src/database/session';
import { nVarChar, type Parameter } from '../../src/database/statement';
import { failed, ok, skipped, type Finding } from './finding';
import { roleScript } from './schema';

export interface DatabaseFacts {
  readonly name: string;
  readonly version: string;
  /** Null where sys.databases does not show it. */
  readonly compatibilityLevel: number | null;
  /**
   * Whether the identity has VIEW DEFINITION on the database. One that has not, such as a plain member of the role, does
   * not see everything that is there (Microsoft, "Metadata visibility configuration").
   */
  readonly seesDefinitions: boolean;
  /** A name in the form in which the database compares names. */
  readonly foldName: (name: string) => string;
}

export interface ExaminedDatabase extends DatabaseFacts {
  readonly session: Pick<Session, 'query'>;
}

export const objectName = (name: string): Parameter => nVarChar(300, name);

export async function readFacts(session: ExaminedDatabase['session']): Promise<DatabaseFacts> {
  const [row] = await session.query({
    name: 'readFacts',
    columns: {
      Name: text,
      Version: text,
      CompatibilityLevel: nullable(number),
      SeesDefinitions: nullable(flag),
      NamesIgnoreCase: flag,
    },
    sql: `SELECT DB_NAME() AS Name, @@VERSION AS Version,
  (SELECT d.compatibility_level FROM sys.databases AS d WHERE d.name = DB_NAME()) AS CompatibilityLevel,
  HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'VIEW DEFINITION') AS SeesDefinitions,
  CASE WHEN EXISTS (SELECT 1 FROM sys.schemas AS s WHERE s.name = N'DBO') THEN 1 ELSE 0 END AS NamesIgnoreCase;`,
  });
  if (!row) throw new Error('readFacts returned no row');
  const [version = ''] = row.Version.split('\n');
  return {
    name: row.Name,
    version,
    compatibilityLevel: row.CompatibilityLevel,
    seesDefinitions: row.SeesDefinitions === true,
    foldName: row.NamesIgnoreCase ? (name) => name.toLowerCase() : (name) => name,
  };
}

/** Finding on a table or view that the identity does not see: missing if it would see it, else skipped. */
export function unseen({ seesDefinitions }: ExaminedDatabase, missing: Finding): Finding {
  if (seesDefinitions) return missing;
  return skipped(
    missing.subject,
    `cannot be seen by this identity: it is missing, or the identity lacks the role in ${roleScript}`,
  );
}

/** The lowest level that supports OPENJSON. */
const minCompatibilityLevel = 130;

/** @param address of the server */
export function describeDatabase(
  { name, version, compatibilityLevel }: DatabaseFacts,
  address: string,
): Finding[] {
  const database = ok('database', `${name} on ${address}, ${version}`);
  const level = compatibilityLevel ?? minCompatibilityLevel;
  if (level >= minCompatibilityLevel) return [database];
  return [
    database,
    failed(
      'compatibility level',
      `is ${level}, expected ${minCompatibilityLevel} or higher: the jobs read lists by OPENJSON`,
      `ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = ${minCompatibilityLevel}`,
    ),
  ];
}
