/** What comes next for a request, in words: the same on the page, in the API and in the shell. */
import { formatCount, formatNumber, formatUtc } from '../format';
import { failureCauses } from './failures';
import type { NextStep } from './nextStep';
import type { RequestStory } from './requestStory';

type Step = Pick<RequestStory, 'next' | 'platform' | 'request'>;

/** For example "No reminder is due yet: the first begins at 2026-12-17 00:00:00 UTC, 14 days before the last day." */
export function describeNext(step: Step): string {
  const { next } = step;
  switch (next.code) {
    case 'reminderDue':
      return `The ${reminder(next.leadDays)} has been due since ${formatUtc(next.since)}; ${nextRun(next, 'sends it')}.`;
    case 'revocationDue':
      return `Its revocation has been due since ${formatUtc(next.since)}; ${nextRun(next, 'records it')}.`;
    case 'revokedMessageDue':
      return `Its revocation was recorded at ${formatUtc(next.since)}; ${nextRun(next, 'sends its holder a message')}.`;
    case 'reminderLater':
      return `No reminder is due yet: the first begins at ${formatUtc(next.at)}, ${formatCount(next.leadDays, 'day')} before the last day.`;
    case 'reminderSent': {
      const following = next.nextLeadDays === null ? 'its revocation' : `the ${reminder(next.nextLeadDays)}`;
      return `No reminder is due: the ${reminder(next.leadDays)} was sent at ${formatUtc(next.sentAt)}. Next is ${following}, due from ${formatUtc(next.at)}.`;
    }
    case 'covered':
      return `Nothing while ${describeObstacle(step)}`;
    case 'duplicated':
    case 'endUnstable':
      return `Skipped: ${describeObstacle(step)}`;
    case 'addressMissing':
    case 'addressMalformed':
      return `A message has been due since ${formatUtc(next.since)} and cannot be sent: ${describeUnusable(next.code)}`;
    case 'safetyStop':
      return `Its revocation has been due since ${formatUtc(next.since)}, blocked by the safety stop: ${formatNumber(next.dueCount)} grants are due, more than REVOCATION_CEILING (${formatNumber(next.ceiling)}).`;
    case 'revoked':
    case 'endMissing':
    case 'notGranted':
      return `Nothing: ${describeObstacle(step)}`;
  }
}

/** Why nothing follows for a request, to go on a sentence; undefined: something does. */
export function describeObstacle({ next, platform: { grantView }, request }: Step): string | undefined {
  switch (next.code) {
    case 'covered':
      return `request ${next.coveredBy.requestNumber} for the same access ends later: it covers this one until ${formatUtc(next.until)}.`;
    case 'duplicated':
      return `${grantView} yields it ${next.viewRows === 2 ? 'twice' : `${formatNumber(next.viewRows)} times`}. ${failureCauses.duplicated.advice}`;
    case 'endUnstable':
      return `its end is not comparable. ${failureCauses.endUnstable.advice}`;
    case 'revoked':
      return `its revocation was recorded at ${formatUtc(next.at)}.`;
    case 'endMissing':
      return 'it has no end. If its access should end, enter one in the request.';
    case 'notGranted':
      if (!request) return `${grantView} does not yield it.`;
      return request.expiresAt
        ? `it is not granted (status ${request.status}).`
        : `${grantView} does not yield it: its status is ${request.status}, and it has no end. If its access should end, enter one in the request.`;
    default:
      return undefined;
  }
}

function nextRun({ nextRunAt }: Extract<NextStep, { nextRunAt: unknown }>, does: string): string {
  return nextRunAt
    ? `the next run, at ${formatUtc(nextRunAt)}, ${does}`
    : `no run is scheduled; one by hand ${does}`;
}

/** For example "7-day reminder": the one that begins 7 days before the last day. */
const reminder = (leadDays: number): string => `${leadDays}-day reminder`;

/** Why no message can go to the address of a request, and what to do. */
export function describeUnusable(cause: 'addressMissing' | 'addressMalformed'): string {
  return `its address is ${cause === 'addressMissing' ? 'missing' : 'malformed'}. ${failureCauses[cause].advice}`;
}
