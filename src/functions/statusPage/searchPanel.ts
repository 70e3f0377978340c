import { html, type SafeHtml } from '../../html';
import { maxFound, type RequestSearch } from '../../jobs/requestSearch';
import { breakable, requestLink, timeOrDash, type View } from './parts';
import { renderTable } from './tables';

/** What a search has found. */
export interface SearchPanel {
  readonly kind: 'search';
  readonly query: string;
  readonly search: RequestSearch;
  /** Why not all requests were searched, and what helps. */
  readonly advice: readonly string[];
}

export function renderSearchPanel({ query, search, advice }: SearchPanel, view: View): SafeHtml {
  const { requests, more } = search;
  return html`<h2 id="panel-title" tabindex="-1">Requests: ${query}</h2>
    ${advice.map((text) => html`<p class="notice">${text}</p>`)}
    ${requests.length === 0 ? html`<p>No request has a number, id, holder or address that is this or begins with it.</p>` : renderFound(requests, view)}
    ${more ? html`<p>There are more than these ${maxFound}: type more of the number, name or address.</p>` : null}`;
}

function renderFound(requests: RequestSearch['requests'], view: View): SafeHtml {
  return renderTable(
    'Requests found',
    [
      {
        name: 'Request',
        cell: ({ platform, request }) => requestLink(platform, request.requestId, request, view),
      },
      { name: 'Holder', look: 'name', cell: ({ request }) => request.requesterName },
      {
        name: 'Address',
        look: 'path',
        cell: ({ request }) => breakable(request.requesterEmail.trim() || '–'),
      },
      {
        name: 'Access',
        look: 'path',
        cell: ({ platform, request }) => html`${platform.name}: ${breakable(request.resource)}`,
      },
      { name: 'Ends', cell: ({ request }) => timeOrDash(request.expiresAt) },
      { name: 'Status', cell: ({ request }) => request.status },
    ],
    requests,
  );
}
