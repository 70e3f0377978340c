/** Which parameters of the page's address open a panel, and which go with them. */
import { alternatives, ParameterError, type Parameters } from '../parameters';

/** The parameters that open a panel, each with those that go with it. Of several, the first is meant. */
const panelParameters = {
  request: [],
  search: [],
  run: ['after'],
  preview: ['job', 'after'],
  job: ['outcome', 'trigger', 'before'],
  runs: ['outcome', 'trigger', 'before'],
} satisfies Record<string, readonly string[]>;
type Opener = keyof typeof panelParameters;

const entries = Object.entries<readonly string[]>(panelParameters);

/** Every parameter of the page. */
export const pageParameters = [...new Set(entries.flatMap(([opener, others]) => [opener, ...others]))];

const isOpener = (name: string): name is Opener => Object.hasOwn(panelParameters, name);

/**
 * The parameter that opens the panel; undefined: there is no panel.
 * @throws ParameterError where the parameters do not go together
 */
export function findOpener(query: Parameters): Opener | undefined {
  const opener = Object.keys(panelParameters)
    .filter(isOpener)
    .find((name) => query.has(name));
  for (const name of query.keys()) requireFitting(name, opener);
  if (opener === 'preview' && !query.has('job')) throw givenWithout('preview', ['job']);
  return opener;
}

function requireFitting(name: string, opener: Opener | undefined): void {
  if (opener === undefined)
    throw givenWithout(
      name,
      entries.flatMap(([one, others]) => (others.includes(name) ? [one] : [])),
    );
  const others: readonly string[] = panelParameters[opener];
  if (name !== opener && !others.includes(name))
    throw new ParameterError(
      `The parameters ${opener} and ${name} cannot be combined: leave one of them out.`,
    );
}

function givenWithout(name: string, missing: readonly string[]): ParameterError {
  return new ParameterError(
    `The parameter ${name} is given without ${alternatives.format(missing)}: add it, or leave ${name} out.`,
  );
}
