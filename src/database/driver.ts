/**
 * What is used of tedious. Imported when first needed; a file of our own, since a CommonJS package that is imported so
 * has other exports in a bundle than in Node.js.
 */
export { Connection, Request, TYPES } from 'tedious';
