import { byDay, formatFully, formatTime, maxFullEntries, type DigestContent, type Entry } from './wording';

/** A digest as plain text. Behind each "Request: " or "request: " comes a request's number, up to a comma or the line's end. */
export function renderText(content: DigestContent): string {
  const { greeting, heading, lead, advice, ending, ended, footer } = content;
  const rest = ending.slice(maxFullEntries);
  const lines = [greeting, '', `${heading.join('')}.`];
  if (lead) lines.push('', ...details(lead));
  lines.push('', advice, '');
  for (const [day, entries] of byDay(ending.slice(0, maxFullEntries))) {
    lines.push(day, '');
    for (const entry of entries)
      lines.push(`- ${entry.resource}`, `  Ends ${formatTime(entry.end)}`, ...details(entry, '  '), '');
  }
  if (rest.length > 0) lines.push(`And ${rest.length} more`, '');
  for (const [day, entries] of byDay(rest))
    lines.push(day, '', ...entries.map((entry) => shortLine(entry, formatTime(entry.end))), '');
  if (ended.length > 0)
    lines.push('Has ended', '', ...ended.map((entry) => shortLine(entry, formatFully(entry.end))), '');
  lines.push('--', ...footer, '');
  return lines.join('\n');
}

function details({ lastReminder, renewalUrl, requestNumber }: Entry, indent = ''): string[] {
  return [
    ...(lastReminder ? [`${indent}Last reminder`] : []),
    ...(renewalUrl ? [`${indent}Renew access: ${renewalUrl}`] : []),
    ...(requestNumber ? [`${indent}Request: ${requestNumber}`] : []),
  ];
}

function shortLine({ resource, requestNumber, renewalUrl }: Entry, end: string): string {
  const request = requestNumber && `, request: ${requestNumber}`;
  return `- ${resource}, ${end}${request}${renewalUrl ? `, renew: ${renewalUrl}` : ''}`;
}
