/**
 * Writes the documents that are generated from the code.
 *
 *     npm run docs
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apiDocument } from './apiDocument';
import { settingsDocument } from './settingsDocument';

/** The text of each generated document, by its path in the repository. A test holds the files to it. */
export const generatedDocuments: Readonly<Record<string, () => string>> = {
  'docs/api.md': apiDocument,
  'docs/settings.md': settingsDocument,
};

if (process.argv[1] === __filename)
  for (const [path, text] of Object.entries(generatedDocuments))
    writeFileSync(join(__dirname, '..', path), text());
