import { closest, distance } from 'fastest-levenshtein';
import { settingNames, type Environment } from '../src/config/settings';

/** A variable that the app does not know, whose name is almost that of a setting. */
export interface MisspeltSetting {
  readonly given: string;
  readonly meant: string;
}

/** Two slips, such as a swapped pair, in a long name; in a short one two would make another word of it. */
const maxSlips = (name: string): number => (name.length < 10 ? 1 : 2);

/** Variables that look like a misspelt setting: other letters, another case, or hyphens. */
export function findMisspelt(environment: Environment): MisspeltSetting[] {
  const known: readonly string[] = settingNames;
  return Object.keys(environment)
    .filter((name) => !known.includes(name))
    .map((given) => {
      const name = given.toUpperCase().replaceAll('-', '_');
      const meant = closest(name, known);
      return { given, meant, slips: distance(name, meant) };
    })
    .filter(({ meant, slips }) => slips <= maxSlips(meant))
    .map(({ given, meant }) => ({ given, meant }));
}
