/**
 * What is used of applicationinsights. Imported when first needed; a file of our own, since a CommonJS package that is
 * imported so has other exports in a bundle than in Node.js.
 */
export { TelemetryClient } from 'applicationinsights';

// The library reports its own use to Microsoft ("Statsbeat in Application Insights") unless this is set.
process.env.APPLICATION_INSIGHTS_NO_STATSBEAT ??= 'true';
