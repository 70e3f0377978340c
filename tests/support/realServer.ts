/** Whether `npm run test:sqlserver` runs the tests: on the server that TEST_SQL_* name. */
export const realServer = (globalThis as { realServer?: boolean }).realServer === true;

/**
 * A test that only a real server can pass; on the stand-in it is skipped under a name that says why.
 * @param standIn what the stand-in does instead
 */
export function testOnRealServer(name: string, standIn: string, work: () => Promise<void>): void {
  if (realServer) test(name, work);
  // eslint-disable-next-line @typescript-eslint/no-empty-function -- a test that is skipped has no work
  else test.skip(`${name} (${standIn})`, () => {});
}
