import { describeFailures, failuresOf, type Failure } from '../../src/jobs/failures';
import { readRunMessage, writeRunMessage } from '../../src/jobRun/runMessage';

const failures: readonly Failure[] = [
  { cause: 'rejected', code: 'EmailDroppedAllRecipientsSuppressed', count: 1, requestIds: [5] },
  { cause: 'addressMissing', count: 12, requestIds: [17, 21, 40, 41, 42, 43] },
];

/** The failures as they are read from a run's row. */
function roundTrip(written: readonly Failure[]): Failure[] {
  const text = writeRunMessage({ sentences: describeFailures(written), facts: { failures: written } });
  return failuresOf(readRunMessage(text).facts);
}

test('the failures of a run are one sentence, most first', () => {
  expect(describeFailures(failures)).toBe(
    'Failed: 12 without an email address; 1 rejected by the email service, code EmailDroppedAllRecipientsSuppressed.',
  );
  expect(describeFailures([])).toBe('');
});

test('round-trips failures through a row, with the first five request ids', () => {
  expect(roundTrip(failures)).toEqual([
    { cause: 'addressMissing', count: 12, requestIds: ['17', '21', '40', '41', '42'] },
    { cause: 'rejected', code: 'EmailDroppedAllRecipientsSuppressed', count: 1, requestIds: ['5'] },
  ]);
});

test('leaves out a cause that another version of the app wrote', () => {
  expect(failuresOf({ failures: [{ cause: 'eclipsed', count: 1, requestIds: [] }] })).toEqual([]);
});
