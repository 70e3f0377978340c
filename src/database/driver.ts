/**
 * The parts of tedious in use, imported when first needed. A file of its own: a CommonJS package that is imported
 * dynamically has other exports in a bundle than in Node.js.
 */
export { Connection, Request, TYPES } from 'tedious';
