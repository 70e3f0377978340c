import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatedDocuments } from '../../scripts/docs';

test.each(Object.entries(generatedDocuments))('%s is what npm run docs writes', async (path, text) => {
  expect(readFileSync(join(__dirname, '../..', path), 'utf8')).toBe(await text());
});
