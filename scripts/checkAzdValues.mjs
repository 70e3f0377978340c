/**
 * azd puts the values of its environment into infra/main.parameters.json as they are: one with a quote, a backslash or a
 * line break makes the file invalid JSON, and azd reports only that. Runs before `azd provision`, with only Node.js.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const text = readFileSync(join(import.meta.dirname, '../infra/main.parameters.json'), 'utf8');
const names = [...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name);
// eslint-disable-next-line no-control-regex -- JSON allows none of them in a text
const breaksJson = (value) => /["\\\u0000-\u001f]/.test(value);
const wrong = names.filter((name) => breaksJson(process.env[name] ?? ''));

for (const name of wrong)
  console.error(
    `${name} cannot be given to azd: its value has a quote ("), a backslash or a line break, which azd does not pass on. Set it without: azd env set ${name} '…'`,
  );
process.exitCode = wrong.length > 0 ? 1 : 0;
