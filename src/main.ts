/** The function app: registers its functions. Nothing here can fail, or the worker would find no functions at all. */
import { setFlagsFromString } from 'node:v8';
import { registerHttpFunctions } from './functions/http';
import { registerShutdown } from './functions/process';
import { registerTimers } from './functions/timers';

// Collect garbage early rather than let the heap grow: a run that sends thousands of emails keeps little, but V8 would
// grow to more than twice the size before it looks (docs/benchmarks.md). Both are asked for at each collection.
setFlagsFromString('--semi-space-growth-factor=1');
setFlagsFromString('--heap-growing-percent=10');

// Stack traces then name the TypeScript; the maps are read only when an error is printed.
process.setSourceMapsEnabled(true);

registerTimers();
registerHttpFunctions();
registerShutdown();
