/**
 * The function app. Source maps are read only for code that is loaded after this line, so the functions are a chunk of
 * their own. Nothing here can fail, or the worker would find no functions at all.
 */
process.setSourceMapsEnabled(true);

await import('./functions/register');

export {};
