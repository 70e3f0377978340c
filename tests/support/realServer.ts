/** Whether `npm run test:sqlserver` runs the tests: on the server that TEST_SQL_* name. */
export const realServer = (globalThis as { realServer?: boolean }).realServer === true;
