/** Whether the tests run on the server of TEST_SQL_* (`npm run test:sqlserver`). */
export const realServer = (globalThis as { realServer?: boolean }).realServer === true;

/** A test that needs a fault or the clock of the stand-in. */
export const testOnStandIn = realServer ? test.skip : test;

/**
 * A test for a real server; on the stand-in it is skipped, with the reason.
 * @param standIn what the stand-in does instead
 */
export function testOnRealServer(name: string, standIn: string, work: () => Promise<void>): void {
  if (realServer) test(name, work);
  // eslint-disable-next-line @typescript-eslint/no-empty-function -- a test that is skipped has no work
  else test.skip(`${name} (${standIn})`, () => {});
}
