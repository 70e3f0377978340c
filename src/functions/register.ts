/** Registers the functions. Nothing here can fail, or the worker would find no functions at all. */
import { registerHttpFunctions } from './http';
import { registerLog } from './log';
import { registerShutdown } from './runner';
import { registerTimers } from './timers';

registerLog();
registerTimers();
registerHttpFunctions();
registerShutdown();
