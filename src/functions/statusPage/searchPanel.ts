import { html, type SafeHtml } from '../../html';
import { maxFound, type RequestSearch } from '../../jobs/requestSearch';
import { breakable, requestLink, timeTag, type View } from './parts';

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
    ${requests.length === 0 ? html`<p>No request's number, id, holder or address is that or begins with it.</p>` : renderFound(requests, view)}
    ${more ? html`<p>There are more than these ${maxFound}: type more of the number, name or address.</p>` : null}`;
}

function renderFound(requests: RequestSearch['requests'], view: View): SafeHtml {
  return html`<div class="scroll" role="region" aria-label="Requests that were found" tabindex="0">
    <table>
      <thead>
        <tr>
          <th scope="col">Request</th>
          <th scope="col">Holder</th>
          <th scope="col">Address</th>
          <th scope="col">Access</th>
          <th scope="col">Ends</th>
          <th scope="col">Status</th>
        </tr>
      </thead>
      <tbody>
        ${requests.map(
          ({ platform, request }) =>
            html`<tr>
              <th scope="row">${requestLink(platform, request.requestId, request, view)}</th>
              <td data-label="Holder" class="name">${request.requesterName}</td>
              <td data-label="Address" class="path">${breakable(request.requesterEmail.trim() || '–')}</td>
              <td data-label="Access" class="path">${platform.name}: ${breakable(request.resource)}</td>
              <td data-label="Ends">${request.expiresAt ? timeTag(request.expiresAt) : '–'}</td>
              <td data-label="Status">${request.status}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
