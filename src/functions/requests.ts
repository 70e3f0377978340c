import type { HttpRequest, HttpResponseInit } from '@azure/functions';
import { deadlineIn, stopWords } from '../clock';
import { readBudgetMs } from '../jobs/budgets';
import type { NextStep } from '../jobs/nextStep';
import { describeNext, describeObstacle, describeUnusable } from '../jobs/nextStepWords';
import { parseRequestId, platforms, type Platform, type RequestId } from '../jobs/platforms';
import { quietMinutes, remind, type ReminderResult } from '../jobs/reminder';
import { describeCompleteness, maxQueryLength, searchRequests } from '../jobs/requestSearch';
import { requestViewAdvice } from '../jobs/requests';
import { readStory, type RequestStory } from '../jobs/requestStory';
import { formatUtc } from '../format';
import { withErrorResponses } from './api';
import { log } from './log';
import { ParameterError, quote, readParameters, readQuery } from './parameters';
import { isProblemCode, RequestError, type ProblemCode } from './problem';
import { getServices, tracked } from './runner';
import { signedInName } from './signIn';

/** GET /api/requests?q=: requests of both platforms by number, id, holder or address. */
export const getRequests = withErrorResponses(async (request) => {
  const query = readSearch('q', readQuery(request, ['q']).get('q'));
  const services = await getServices();
  const search = await searchRequests(services, deadlineIn(services.clock, readBudgetMs), query);
  const requests = search.requests.map(({ platform, request }) => ({
    platform: platform.name.toLowerCase(),
    ...request,
  }));
  return {
    jsonBody: {
      requests,
      more: search.more,
      ...describeCompleteness(search),
    },
  };
});

/**
 * The trimmed query of a search.
 * @param name of the parameter
 * @throws ParameterError
 */
export function readSearch(name: string, given: string | undefined): string {
  const query = given?.trim() ?? '';
  const { length } = Array.from(query);
  if (length === 0 || length > maxQueryLength)
    throw new ParameterError(
      `The parameter ${name} ${length === 0 ? 'is missing or empty' : `has ${length} characters`}: expected the number, id, holder or address of a request, of at most ${maxQueryLength} characters.`,
    );
  return query;
}

/** GET /api/requests/{platform}/{requestId}: a request as it is now, what was sent and revoked, and what comes next. */
export const getRequest = withErrorResponses(async (request) => {
  readQuery(request, []);
  const { platform, requestId } = requireRequest(request.params);
  const services = await getServices();
  const story = await readStory(services, deadlineIn(services.clock, readBudgetMs), platform, requestId);
  if (!story) throw unknownRequest(platform, requestId);
  return { jsonBody: describeStory(story) };
});

/**
 * The request that a route or an address names.
 * @throws RequestError 404
 */
export function requireRequest({ platform: name = '', requestId: written = '' }: HttpRequest['params']): {
  platform: Platform;
  requestId: RequestId;
} {
  const platform = platforms.find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (!platform) {
    const known = platforms.map((one) => one.name.toLowerCase());
    throw new RequestError(
      'unknownPlatform',
      `There is no platform ${quote(name)}: known are ${known.join(' and ')}.`,
    );
  }
  const requestId = parseRequestId(written, platform);
  if (requestId === undefined) throw unknownRequest(platform, written);
  return { platform, requestId };
}

export function unknownRequest({ name }: Platform, requestId: RequestId): RequestError {
  return new RequestError(
    'unknownRequest',
    `There is no ${name} request with the id ${quote(String(requestId))}: search for it by its number, holder or address.`,
  );
}

/** A story as the API gives it. */
function describeStory(story: RequestStory) {
  const { platform, requestId, request, grant, viewMissing, next, notifications, revocations } = story;
  return {
    platform: platform.name.toLowerCase(),
    requestId,
    request,
    granted: grant !== null,
    next: { ...next, message: describeNext(story) },
    notifications,
    revocations,
    requestsAdvice: viewMissing ? requestViewAdvice(platform) : null,
  };
}

/** How long a reminder by hand waits for the email service and the database, in ms. */
const reminderBudgetMs = 30_000;

/** Reminders that this process is just sending. */
const underWay = new Set<string>();

/** POST /api/requests/{platform}/{requestId}/reminders: sends this one grant's reminder now, due or not. */
export const postReminder = withErrorResponses(async (request) => {
  await readParameters(request, []);
  const { platform, requestId } = requireRequest(request.params);
  const services = await getServices();
  const operator = signedInName(request, services.settings.appService);
  const key = `${platform.name} ${requestId}`;
  if (underWay.has(key)) throw notSent('underWay', ': its reminder is just being sent.', reminderBudgetMs);
  underWay.add(key);
  try {
    const result = await tracked((shutdown) =>
      remind(
        services,
        { ...deadlineIn(services.clock, reminderBudgetMs), ...shutdown },
        platform,
        requestId,
        {
          ...(operator !== undefined && { operator }),
        },
      ),
    );
    log(
      `${platform.name} request ${requestId}: reminder by hand: ${describeOutcome(result)}`,
      levelOf(result),
    );
    return answerReminder(result, platform, requestId);
  } finally {
    underWay.delete(key);
  }
});

/** For the log: without the address, and without who asked for it. */
function describeOutcome(result: ReminderResult): string {
  return 'reason' in result ? `${result.kind} (${result.reason})` : result.kind;
}

function levelOf({ kind }: ReminderResult): 'error' | 'warning' | undefined {
  if (kind === 'unrecorded') return 'error';
  return kind === 'rejected' || kind === 'unavailable' || kind === 'unknown' ? 'warning' : undefined;
}

/** @throws RequestError unless the reminder was sent and recorded */
function answerReminder(result: ReminderResult, platform: Platform, requestId: RequestId): HttpResponseInit {
  switch (result.kind) {
    case 'sent':
      return { jsonBody: { sentTo: result.sentTo, sentBy: result.sentBy } };
    case 'unrecorded':
      throw new RequestError(
        'unrecorded',
        `The email service has accepted the message, and recording it failed: ${result.reason} ${repeatAdvice}`,
      );
    case 'unknownRequest':
      throw unknownRequest(platform, requestId);
    case 'notRemindable':
      throw notRemindable({ ...result, platform });
    case 'justSent':
      throw notSent(
        'justSent',
        `: a message about it went out at ${formatUtc(result.at)}, less than ${quietMinutes} minutes ago.`,
        result.retryAfterMs,
      );
    case 'unusableAddress':
      throw notSent(result.cause, `: ${describeUnusable(result.cause)}`);
    case 'rejected':
      throw notSent('rejected', `: ${undelivered.rejected(result.reason)}`);
    case 'unavailable':
      throw notSent('unavailable', `: ${undelivered.unavailable(result.reason)}`, retryMs);
    case 'unknown': {
      const detail = `The answer of the email service was lost (${result.reason}): whether it has the message is not known. ${repeatAdvice}`;
      throw new RequestError('unknown', detail, { retryAfter: retryMs / 1000 });
    }
    case 'stopped': {
      const why = result.reason === 'throttled' ? 'the email service asks to wait' : stopWords[result.reason];
      throw notSent(result.reason, `: ${why}.`, result.retryAfterMs ?? retryMs);
    }
  }
}

/** When another try is worth it after the email service failed, in ms. */
const retryMs = 60_000;

const repeatAdvice =
  'Another try within ten minutes goes out under the same operation id, by which the service recognises it.';

/** What to do where the email service did not accept a message. */
const undelivered = {
  rejected: (reason: string) =>
    `the email service refused the message (${reason}). Look the code up in the Communication Services documentation; a suppressed address bounced before: correct it, or wait until the service sends to it again (docs/operating.md, "rejected-mails").`,
  unavailable: (reason: string) =>
    `the email service did not take the message (${reason}). Check the email service, EMAIL_ENDPOINT, EMAIL_SENDER_ADDRESS and the role of the identity (npm run doctor).`,
};

/** Steps of a grant that has ended. */
const endedCodes: readonly NextStep['code'][] = [
  'revocationDue',
  'safetyStop',
  'revoked',
  'revokedMessageDue',
];

function notRemindable(step: Pick<RequestStory, 'next' | 'platform' | 'request'>): RequestError {
  const { code } = step.next;
  const obstacle = describeObstacle(step);
  const next = obstacle === undefined ? `. ${describeNext(step)}` : `: ${obstacle}`;
  if (endedCodes.includes(code)) return notSent('ended', `, since its access has ended${next}`);
  return notSent(isProblemCode(code) ? code : 'unexpected', next);
}

/** @param how continues the sentence "Nothing was sent" */
function notSent(code: ProblemCode, how: string, retryAfterMs?: number): RequestError {
  return new RequestError(code, `Nothing was sent${how}`, {
    ...(retryAfterMs !== undefined && { retryAfter: Math.ceil(retryAfterMs / 1000) }),
  });
}
