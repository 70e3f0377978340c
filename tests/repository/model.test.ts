/** A statement that writes belongs in the model of the protocol (docs/protocol.md), which `npm run model` checks. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const namesIn = (files: string, pattern: RegExp): Set<string> =>
  new Set(
    globSync(files, { cwd: root })
      .flatMap((file) => [...readFileSync(join(root, file), 'utf8').matchAll(pattern)])
      .map(([, name = '']) => name),
  );

/** Statements that only read, by their names, or write only to a temporary table of their own session. */
const readsOnly = /^(count|find|judge|list|preview|read|search)[A-Z]|^create(Due|End)Table$|^collectEnd$/;
/** It takes no lock: an accepted limit of the protocol. */
const byHand = 'recordReminder';

test('the statements of the jobs and of the lock that write are in the model', () => {
  const statements = namesIn('src/job{Run,s}/*.ts', /\bquery\(\{\s+name: '(\w+)'/g);
  const modelled = namesIn('model/*.pml', /^inline (\w+?)(?:_\w+)?\(.*\) \{\s*d_step/gm);
  const writing = [...statements].filter((name) => !readsOnly.test(name) && name !== byHand);
  expect(writing).toContain('revokeBatch');
  expect(writing.filter((name) => !modelled.has(name))).toEqual([]);
});
