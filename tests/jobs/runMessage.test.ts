import fc from 'fast-check';
import { failureCauses, failuresOf } from '../../src/jobs/failures';
import { readRunMessage, writeRunMessage, type RunFacts } from '../../src/jobRun/runMessage';

const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    'stopped=time safetyStop',
    'Ada\nstopped=time',
    'x\r\nsafetyStop',
    'Stopped early: no. Failed: 3 without an email address (1).',
    '=%%20 =:,\u2028\u{1F600}',
  ),
);
const id = fc.oneof(fc.integer().map(String), fc.uuid());
const failure = fc.record(
  {
    cause: fc.constantFrom(...Object.keys(failureCauses)),
    code: fc.stringMatching(/^[A-Za-z]{1,40}$/),
    count: fc.nat(),
    requestIds: fc.array(id, { maxLength: 5 }),
  },
  { requiredKeys: ['cause', 'count', 'requestIds'] },
);
const facts = fc.record<RunFacts>({
  stopped: fc.constantFrom(undefined, 'time', 'throttled', 'shutdown'),
  ended: fc.constantFrom(undefined, 'safetyStop', 'abandoned', 'cancelled'),
  manual: fc.option(
    fc.record(
      { trigger: fc.constantFrom('http' as const, 'cli' as const), operator: hostile },
      { requiredKeys: ['trigger'] },
    ),
    { nil: undefined },
  ),
  withoutCeiling: fc.boolean(),
  failures: fc.uniqueArray(failure, {
    maxLength: 4,
    selector: ({ cause, code }) => `${cause}.${code ?? ''}`,
  }),
});

test('an operator whose name is a number is no failure', () => {
  const manual = { trigger: 'http', operator: '104523' } as const;
  const text = writeRunMessage({ sentences: '', facts: { manual, failures: [] } });
  expect(readRunMessage(text).facts).toMatchObject({ manual, failures: [] });
});

test('round-trips facts, whatever the sentences and names are', () => {
  fc.assert(
    fc.property(hostile, facts, (sentences, written) => {
      const text = writeRunMessage({ sentences, facts: written });
      expect(Buffer.byteLength(text ?? '')).toBeLessThanOrEqual(500);
      const { facts: read } = readRunMessage(text);
      const { manual, failures, ...others } = read;
      expect(others).toEqual({
        stopped: written.stopped,
        ended: written.ended,
        withoutCeiling: written.withoutCeiling === true ? true : undefined,
      });
      expect(manual?.trigger).toBe(written.manual?.trigger);
      const operator = written.manual?.operator?.toWellFormed() ?? '';
      expect(operator.startsWith(manual?.operator ?? '')).toBe(true);
      if (operator.length <= 8) expect(manual?.operator ?? '').toBe(operator);
      // The largest come first; those without room are left out from the end.
      const expected = [...written.failures].sort((a, b) => b.count - a.count).slice(0, failures.length);
      expect(failures).toEqual(
        expected.map((one, index) => ({
          ...one,
          requestIds: one.requestIds.slice(0, failures[index]?.requestIds.length),
        })),
      );
    }),
    { numRuns: 2_000 },
  );
});

test('writes sentences, with the facts as codes on the last line', () => {
  const text = writeRunMessage({
    sentences: 'Stopped early: its time budget is spent. Failed: 3 without an email address.',
    facts: {
      stopped: 'time',
      manual: { trigger: 'http', operator: 'ada@example.com' },
      failures: [{ cause: 'addressMissing', count: 3, requestIds: [17, 21, 40] }],
    },
  });
  expect(text).toBe(
    'Stopped early: its time budget is spent. Failed: 3 without an email address.\nstopped=time http=ada@example.com addressMissing=3:17,21,40',
  );
});

test('reads the text of another program as sentences without facts', () => {
  const sentences = 'Stopped early: by hand. stopped=time';
  expect(readRunMessage(sentences)).toEqual({ sentences, facts: { failures: [] } });
  for (const text of ['Closed by DBA\nafter incident 42', 'Closed\nstopped=time by Ada'])
    expect(readRunMessage(text)).toEqual({ sentences: text, facts: { failures: [] } });
  expect(readRunMessage(null)).toEqual({ sentences: '', facts: { failures: [] } });
  expect(writeRunMessage({ sentences: ' ', facts: { failures: [] } })).toBeNull();
});

test('leaves out a cause that another version of the app wrote', () => {
  expect(failuresOf({ failures: [{ cause: 'eclipsed', count: 1, requestIds: [] }] })).toEqual([]);
});
