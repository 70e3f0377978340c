import { deadlineIn } from '../src/clock';
import { formatUtc } from '../src/format';
import { describeNext } from '../src/jobs/nextStepWords';
import { parseRequestId, platforms, type Platform, type RequestId } from '../src/jobs/platforms';
import {
  describeCompleteness,
  maxFound,
  maxQueryLength,
  searchRequests,
  type FoundRequest,
} from '../src/jobs/requestSearch';
import { requestViewAdvice } from '../src/jobs/requests';
import { readStory, type RequestStory } from '../src/jobs/requestStory';
import { readBudgetMs } from '../src/jobs/budgets';
import type { Services } from '../src/services';
import { createServices } from '../src/services';
import { createCommandCredential } from './credential';
import { parseArguments, readEnvironment, runCommand } from './environment';

const usage = `Usage: npm run request -- <number, id, name or address> | <platform>/<id>

Shows what happened to a request, such as DBX-10026, and what comes next. If several match, they are listed.

Exit code 0: found; 1: not.`;

runCommand(usage, async () => {
  const { positionals } = parseArguments({ allowPositionals: true, options: {} }, usage);
  const query = positionals.join(' ').trim();
  if (query === '') throw new Error(`Expected one request.\n${usage}`);
  const { length } = Array.from(query);
  if (length > maxQueryLength)
    throw new Error(`The query has ${length} characters: expected at most ${maxQueryLength}.\n${usage}`);
  const services = await createServices(readEnvironment(), (message) => console.error(message), {
    credentialFor: createCommandCredential,
    interactive: true,
  });
  const named = parseAddress(query);
  if (named) return print(services, named);
  const search = await searchRequests(services, deadlineIn(services.clock, readBudgetMs), query);
  for (const advice of describeCompleteness(search).advice) console.error(advice);
  const exact = search.requests.filter(({ rank }) => rank === 0);
  const [only, another] = exact.length > 0 ? exact : search.requests;
  if (!only) {
    console.error(`No request's number, id, holder or address is ${query} or begins with it.`);
    return false;
  }
  if (!another) return print(services, { platform: only.platform, requestId: only.request.requestId });
  for (const request of search.requests) console.log(describeFound(request));
  if (search.more) console.error(`There are more than these ${maxFound}.`);
  return true;
});

/** A request as the status page's address names it, such as databricks/17. */
function parseAddress(text: string): { platform: Platform; requestId: RequestId } | undefined {
  const [name = '', written = '', ...others] = text.split('/');
  const platform = platforms.find((one) => one.name.toLowerCase() === name.toLowerCase());
  const requestId = platform && others.length === 0 ? parseRequestId(written, platform) : undefined;
  return platform && requestId !== undefined ? { platform, requestId } : undefined;
}

async function print(
  services: Services,
  { platform, requestId }: { platform: Platform; requestId: RequestId },
): Promise<boolean> {
  const story = await readStory(services, deadlineIn(services.clock, readBudgetMs), platform, requestId);
  if (!story) {
    console.error(`There is no ${platform.name} request with the id ${requestId}.`);
    return false;
  }
  if (story.viewMissing) console.error(requestViewAdvice(platform));
  for (const line of describeStory(story)) console.log(line);
  return true;
}

function describeFound({ platform, request }: FoundRequest): string {
  const { requestId, requestNumber, requesterName, resource, status } = request;
  const end = request.expiresAt ? `ends ${formatUtc(request.expiresAt)}` : 'has no end';
  return `${platform.name.toLowerCase()}/${requestId}: ${requestNumber}, ${requesterName}, ${resource}, ${end}, ${status}`;
}

function describeStory(story: RequestStory): string[] {
  const { platform, requestId, request, grant, notifications, revocations } = story;
  const known = request ?? grant;
  const events = [
    ...notifications.map((record) => ({ ...record, text: `message sent to ${record.sentTo}` })),
    ...revocations.map((record) => ({ ...record, text: 'revocation recorded' })),
  ].sort((a, b) => b.at.getTime() - a.at.getTime());
  return [
    `${platform.name} request ${known?.requestNumber ?? requestId} (id ${requestId})`,
    `  Holder   ${known?.requesterName ?? '–'}, ${story.recipient || 'no address'}`,
    `  Access   ${known?.resource ?? '–'}`,
    `  Ends     ${known?.expiresAt ? formatUtc(known.expiresAt) : '–'}`,
    `  Status   ${request?.status ?? (grant ? 'granted' : 'not granted')}`,
    `  Next     ${describeNext(story)}`,
    ...(events.length === 0 ? ['  Nothing was sent, and no revocation is recorded.'] : []),
    ...events.map(
      ({ at, text, by, jobId }) =>
        `  ${formatUtc(at)}  ${text}, by ${by}${jobId === null ? '' : `, run ${jobId}`}`,
    ),
  ];
}
