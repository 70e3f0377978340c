/**
 * Writes the documents that are generated from the code.
 *
 *     npm run docs
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apiDocument } from './apiDocument';
import { settingsDocument } from './settingsDocument';
import { statementsDocument } from './statementsDocument';

/** The text of each generated document, by its path in the repository. A test compares the files. */
export const generatedDocuments: Readonly<Record<string, () => string | Promise<string>>> = {
  'docs/api.md': apiDocument,
  'docs/settings.md': settingsDocument,
  'docs/statements.md': statementsDocument,
};

async function main(): Promise<void> {
  for (const [path, text] of Object.entries(generatedDocuments))
    writeFileSync(join(__dirname, '..', path), await text());
}

if (process.argv[1] === __filename) void main();
