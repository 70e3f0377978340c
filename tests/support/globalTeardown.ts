/** After all test files. */
import { rmSync } from 'node:fs';

export default (): void => rmSync(process.env.TEST_COMMANDS ?? '', { recursive: true });
