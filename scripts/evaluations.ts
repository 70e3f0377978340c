import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..');
const infra = join(root, 'infra');
const parameterFiles = join(root, 'tests/infra');

/** Holds what `npm run check:infra` has compiled and evaluated: template.json, and <site>.json for each site. */
export const evaluations = join(root, '.local/infra');

/** Names the state of infra/ that was evaluated. */
export const fingerprintFile = join(evaluations, 'fingerprint');

/** The parameters of the sites that are evaluated, by the site's name. */
export const sites: ReadonlyMap<string, string> = new Map(
  readdirSync(parameterFiles)
    .filter((file) => file.endsWith('.bicepparam'))
    .map((file) => [file.replace(/\.bicepparam$/, ''), join(parameterFiles, file)]),
);

/** A hash over everything that an evaluation reads. */
export function fingerprint(): string {
  const hash = createHash('sha256');
  const files = readdirSync(infra, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.\w+$/.test(file))
    .map((file) => join(infra, file));
  for (const file of [...files.sort(), ...sites.values()]) hash.update(file).update(readFileSync(file));
  return hash.digest('hex');
}
