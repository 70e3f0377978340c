/** The function app: registers its functions. Nothing here can fail, or the worker would find no functions at all. */
import { registerHttpFunctions } from './functions/http';
import { registerLog } from './functions/log';
import { registerShutdown } from './functions/runner';
import { registerTimers } from './functions/timers';

// Stack traces then name the TypeScript; the maps are read only when an error is printed.
process.setSourceMapsEnabled(true);

registerLog();
registerTimers();
registerHttpFunctions();
registerShutdown();
