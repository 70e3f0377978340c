/** Registers the functions. Nothing here can fail, or the worker would find no functions at all. */
import { registerHttpFunctions } from './http';
import { registerShutdown } from './runner';
import { registerTimers } from './timers';

registerTimers();
registerHttpFunctions();
registerShutdown();
