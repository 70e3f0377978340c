/** Hostile text for property tests. */
import fc from 'fast-check';

// A failing property prints its seed: set it here to repeat it.
fc.configureGlobal({ numRuns: 300, seed: 20_261_124 });

/** Breaks programs that concatenate text. */
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

/** Any UTF-16 text, with lone surrogates and control characters, and the nasty ones. */
export const text = fc.oneof(
  fc.constantFrom(...nasty),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
);
