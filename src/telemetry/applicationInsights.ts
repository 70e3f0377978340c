/**
 * What is used of applicationinsights. Imported when first needed; a file of our own, since a CommonJS package that is
 * imported so has other exports in a bundle than in Node.js.
 */
export { TelemetryClient } from 'applicationinsights';
