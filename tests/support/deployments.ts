/** The deployments that `npm run check:infra` has evaluated, and the template that it has compiled. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evaluations, fingerprint, fingerprintFile } from '../../scripts/evaluations';

/** A resource for Azure Resource Manager. Values known only at run time are expressions in brackets. */
export interface Resource {
  readonly type: string;
  readonly name: string;
  readonly id: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly properties: object;
}

interface Evaluation {
  readonly predictedResources: readonly Resource[];
  readonly diagnostics: readonly unknown[];
}

/** The parts that tests read. */
export interface Template {
  readonly parameters: Readonly<Record<string, { readonly defaultValue?: unknown }>>;
  readonly resources: readonly { readonly name: string; readonly dependsOn?: readonly string[] }[];
}

/** False without Bicep's compiler. */
const evaluated = existsSync(fingerprintFile);
if (evaluated && readFileSync(fingerprintFile, 'utf8') !== fingerprint())
  throw new Error('infra/ has changed since it was evaluated: npm run check:infra');

/** Skips the tests without evaluations; `npm run check:infra` says why there are none. */
export const describeEvaluated = (name: string, tests: () => void): void => {
  if (evaluated) describe(name, tests);
  else describe.skip(`${name} (needs Bicep's compiler: npm run check:infra)`, tests);
};

const read = (name: string): unknown => JSON.parse(readFileSync(join(evaluations, `${name}.json`), 'utf8'));

export const readTemplate = (): Template => read('template') as Template;

/** The resources of a site: the name of a file in tests/infra/ without its extension. */
export function readDeployment(site: string): readonly Resource[] {
  const { predictedResources, diagnostics } = read(site) as Evaluation;
  if (diagnostics.length > 0) throw new Error(`${site}: ${JSON.stringify(diagnostics)}`);
  return predictedResources;
}

export const ofType = (resources: readonly Resource[], type: string): Resource[] =>
  resources.filter((resource) => resource.type === type);

/** @returns the properties of the one resource of a type */
export function propertiesOf(resources: readonly Resource[], type: string): object {
  const [resource, ...others] = ofType(resources, type);
  if (!resource || others.length > 0) throw new Error(`There are ${others.length + 1} resources ${type}`);
  return resource.properties;
}
