/** Text as an enemy writes it, for property tests. */
import fc from 'fast-check';

// The seed of a property that fails is printed; give it here to run it again.
fc.configureGlobal({ numRuns: 300, seed: 20_261_124 });

/** What breaks programs that put text together. */
export const nasty = [
  '',
  ' ',
  "'; DROP TABLE dbo.JobRun; --",
  "' OR 1=1 --",
  'x); DELETE FROM dbo.JobRun; --',
  'a\r\nBcc: everybody@example.com',
  'a\nSubject: other',
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  '</td></table><h1>',
  "O'Neil & Söhne",
  '\u0000\u0001\u0007\u001b[31m',
  '\u202Egnp.exe\u202C',
  'שלום עולם',
  'مرحبا',
  '👩‍👩‍👧‍👦🏴‍☠️',
  '\uD800',
  '\uDC00\uD800',
  '\u2028\u2029',
  '${process.env.SQL_PASSWORD}',
  '{requestNumber}',
  '$&$1$`',
  '%00%0d%0a',
  '../../etc/passwd',
  '__proto__',
  'javascript:alert(1)',
  'x'.repeat(5_000),
];

/** Any UTF-16 text, halves of surrogate pairs and control characters included, and what is nasty. */
export const text = fc.oneof(
  fc.constantFrom(...nasty),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
);
