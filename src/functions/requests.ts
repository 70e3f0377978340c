import type { HttpRequest } from '@azure/functions';
import { deadlineIn } from '../clock';
import { describeNext } from '../jobs/nextStepWords';
import { parseRequestId, platforms, type Platform, type RequestId } from '../jobs/platforms';
import { maxQueryLength, maxSearched, searchRequests, type RequestSearch } from '../jobs/requestSearch';
import { requestViewAdvice } from '../jobs/requests';
import { readStory, type RequestStory } from '../jobs/requestStory';
import { readBudgetMs } from '../jobs/runJob';
import { formatNumber } from '../format';
import { withErrorResponses } from './api';
import { ParameterError, quote, readQuery } from './parameters';
import { RequestError } from './problem';
import { getServices } from './runner';

/** GET /api/requests?q=: requests of both platforms by number, id, holder or address. */
export const getRequests = withErrorResponses(async (request) => {
  const query = readSearch(readQuery(request, ['q']).get('q'));
  const services = await getServices();
  const search = await searchRequests(services, deadlineIn(services.clock, readBudgetMs), query);
  const requests = search.requests.map(({ platform, ...found }) => ({
    platform: platform.name.toLowerCase(),
    ...found,
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
 * What is looked for, without the blanks around it.
 * @throws ParameterError
 */
export function readSearch(given: string | undefined): string {
  const query = given?.trim() ?? '';
  if (query === '' || query.length > maxQueryLength)
    throw new ParameterError(
      `The parameter q ${query === '' ? 'is missing or empty' : `has ${query.length} characters`}: expected the number, id, holder or address of a request, of at most ${maxQueryLength} characters.`,
    );
  return query;
}

/** Whether all requests were searched, and if not, why, and what helps. */
export function describeCompleteness({ incomplete, missing }: RequestSearch): {
  complete: boolean;
  advice: readonly string[];
} {
  const advice = [
    ...incomplete.map(
      ({ name }) =>
        `Not all ${name} requests were searched: at most the ${formatNumber(maxSearched)} with the highest ids, and only as long as the database answers in time. An id finds any request.`,
    ),
    ...missing.map(requestViewAdvice),
  ];
  return { complete: advice.length === 0, advice };
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
      404,
      'Unknown platform',
      `There is no platform ${quote(name)}: known are ${known.join(' and ')}.`,
    );
  }
  const requestId = parseRequestId(written, platform);
  if (requestId === undefined) throw unknownRequest(platform, written);
  return { platform, requestId };
}

export function unknownRequest({ name }: Platform, requestId: RequestId): RequestError {
  return new RequestError(
    404,
    'Unknown request',
    `There is no ${name} request with the id ${quote(String(requestId))}: GET /api/requests?q= finds one by its number, holder or address.`,
  );
}

/** A story as the API gives it. */
function describeStory(story: RequestStory) {
  const { platform, requestId, request, viewMissing, grant, next, notifications, revocations } = story;
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
