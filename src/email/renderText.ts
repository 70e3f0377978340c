import { isolate, withNeededIsolates } from './isolates';
import { withoutLinks } from './linkLookalikes';
import { byDay, formatFully, formatTime, maxFullEntries, type DigestContent, type Entry } from './wording';

/** A digest as plain text. A request's number follows "Request: " or "request: " and ends at a comma or the line's end. */
export function renderText(content: DigestContent): string {
  const { greeting, heading, lead, action, advice, ending, ended, footer } = content;
  const rest = ending.slice(maxFullEntries);
  const lines = [greeting, '', `${heading.join('')}.`];
  if (lead) lines.push('', ...details(lead, action));
  lines.push('', advice, '');
  for (const [day, entries] of byDay(ending.slice(0, maxFullEntries))) {
    lines.push(day, '');
    for (const entry of entries)
      lines.push(
        `- ${value(entry.resource)}`,
        `  Ends ${formatTime(entry.end)}`,
        ...details(entry, action).map((line) => `  ${line}`),
        '',
      );
  }
  if (rest.length > 0) lines.push(`And ${rest.length} more`, '');
  for (const [day, entries] of byDay(rest))
    lines.push(day, '', ...entries.map((entry) => shortLine(entry, formatTime(entry.end), 'renew')), '');
  if (ended.length > 0)
    lines.push(
      'Already ended',
      '',
      ...ended.map((entry) => shortLine(entry, formatFully(entry.end), 'request again')),
      '',
    );
  lines.push('--', ...footer, '');
  return withNeededIsolates(lines.join('\n'));
}

const value = (text: string): string => isolate(withoutLinks(text));

function details({ lastReminder, url, requestNumber }: Entry, action: string): string[] {
  return [
    ...(lastReminder ? ['Last reminder'] : []),
    ...(url ? [`${action}: ${url}`] : []),
    ...(requestNumber ? [`Request: ${value(requestNumber)}`] : []),
  ];
}

function shortLine({ resource, requestNumber, url }: Entry, end: string, action: string): string {
  const request = requestNumber && `, request: ${value(requestNumber)}`;
  return `- ${value(resource)}, ${end}${request}${url ? `, ${action}: ${url}` : ''}`;
}
