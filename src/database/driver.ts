/**
 * What is used of tedious. Imported when first needed; a file of our own, since a bundle gives a CommonJS package that
 * is imported so no named exports.
 */
export { Connection, Request, TYPES } from 'tedious';
