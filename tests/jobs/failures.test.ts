import { describeFailures, failureCauses, readFailures, type Failure } from '../../src/jobs/failures';

const failures: readonly Failure[] = [
  { cause: 'rejected', code: 'EmailDroppedAllRecipientsSuppressed', count: 1, requestIds: [5] },
  { cause: 'addressMissing', count: 12, requestIds: [17, 21, 40, 41, 42, 43] },
];

test('the failures of a run are said in one sentence, most first, with the first request ids', () => {
  expect(describeFailures(failures)).toBe(
    'Failed: 12 address missing (17, 21, 40, 41, 42, …); 1 rejected by the email service, code EmailDroppedAllRecipientsSuppressed (5).',
  );
  expect(describeFailures([])).toBe('');
});

test('what was said is read again, also behind other sentences', () => {
  const message = `Started by hand by ada@example.com. Stopped early: throttled. ${describeFailures(failures)}`;
  expect(readFailures(message)).toEqual([
    { cause: 'addressMissing', count: 12, requestIds: ['17', '21', '40', '41', '42'] },
    { cause: 'rejected', code: 'EmailDroppedAllRecipientsSuppressed', count: 1, requestIds: ['5'] },
  ]);
});

test('a sentence that the column cut off gives what is whole', () => {
  const message = describeFailures(failures);
  expect(readFailures(message.slice(0, message.indexOf('rejected') + 3)).map(({ cause }) => cause)).toEqual([
    'addressMissing',
  ]);
});

test('a message without failures has none', () => {
  expect(readFailures(null)).toEqual([]);
  expect(readFailures('Safety stop: 4 grants (1, 2) are due.')).toEqual([]);
});

test.each(Object.keys(failureCauses) as (keyof typeof failureCauses)[])(
  '%s survives the way there and back',
  (cause) => {
    const failure = { cause, count: 1, requestIds: ['0e4cbd5f-6fb3-4f41-9b8c-1c8e5e9a2b3c'] };
    expect(readFailures(describeFailures([failure]))).toEqual([failure]);
  },
);
