/** The parts that several panels share: tables, lists of facts, failures by cause, links to other pages of a list. */
import { formatCount } from '../../format';
import { html, type SafeHtml } from '../../html';
import { failureCauses, type Failure } from '../../jobs/failures';
import type { Platform, RequestId } from '../../jobs/platforms';
import type { AccessRequest } from '../../jobs/requests';
import { requestLink, type Address, type View } from './parts';

/** A column of a table: its heading, and what it shows of a row. */
export interface Column<Row> {
  readonly name: string;
  readonly cell: (row: Row) => SafeHtml | string;
  /** On a phone, a path, a name, a plain cell or a hint has no label before it. */
  readonly look?: 'number' | 'path' | 'name' | 'plain' | 'hint';
}

interface TableOptions<Row> {
  /** The row stays the same element when the page refreshes. */
  readonly id?: (row: Row) => string;
  /** Shown below the row. */
  readonly message?: (row: Row) => string | null;
}

/**
 * A table in a scrolling box; on a phone each row is a list (style.css).
 * @param columns the first one names the row; false is left out
 */
export function renderTable<Row>(
  label: string,
  columns: readonly (Column<Row> | false)[],
  rows: readonly Row[],
  { id, message }: TableOptions<Row> = {},
): SafeHtml {
  const shown = columns.filter((column) => column !== false);
  const renderCell = ({ name, look, cell }: Column<Row>, index: number, row: Row): SafeHtml => {
    if (index === 0) return html`<th scope="row">${cell(row)}</th>`;
    const labelled = look === undefined || look === 'number';
    return html`<td ${labelled ? html`data-label="${name}"` : null} class="${look ?? ''}">${cell(row)}</td>`;
  };
  const renderRow = (row: Row): SafeHtml => {
    const text = message?.(row) ?? null;
    return html`<tr ${id ? html`id="${id(row)}"` : null}>
        ${shown.map((column, index) => renderCell(column, index, row))}
      </tr>
      ${
        text === null
          ? null
          : html`<tr class="message">
              <td colspan="${shown.length}"><p>${text}</p></td>
            </tr>`
      }`;
  };
  return html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">
    <table>
      <thead>
        <tr>
          ${shown.map(({ name, look }) => html`<th scope="col" class="${look ?? ''}">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(renderRow)}
      </tbody>
    </table>
  </div>`;
}

/** Facts, each with its name; null is left out. */
export function renderFacts(
  facts: readonly (readonly [name: string, value: SafeHtml | string] | null)[],
): SafeHtml {
  const known = facts.filter((fact) => fact !== null);
  return html`<dl>
    ${known.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** What is known of a request that failed. */
type KnownRequest = Pick<AccessRequest, 'requestNumber' | 'requesterName' | 'resource'>;

/** Failures by cause, each with what to do and its first requests. */
export function renderCauses(
  { heading, noun, platform }: { heading: string; noun: string; platform: Platform },
  failures: readonly Failure[],
  find: (requestId: RequestId) => KnownRequest | undefined,
  view: View,
): SafeHtml | null {
  if (failures.length === 0) return null;
  const renderRequest = (requestId: RequestId): SafeHtml => {
    const known = find(requestId);
    const more = known ? `, ${known.requesterName}, ${known.resource}` : '';
    return html`<li>${requestLink(platform, requestId, known, view)}${more}</li>`;
  };
  return html`<h3>${heading}</h3>
    <ul class="causes">
      ${failures.map(({ cause, code, count, requestIds }) => {
        const { words, advice } = failureCauses[cause];
        return html`<li>
          <strong
            >${formatCount(count, noun)}
            ${words}${code === undefined ? null : html` (<code>${code}</code>)`}</strong
          >
          <p>${advice}</p>
          ${requestIds.length === 0 ? null : html`<p>${requestIds.length < count ? 'First requests' : 'Requests'}:</p>`}
          <ul>
            ${requestIds.map(renderRequest)}
          </ul>
        </li>`;
      })}
    </ul>`;
}

/** Links to other pages of a list; an address that is undefined is left out. */
export function renderPages(
  links: Readonly<Record<string, Address | undefined>>,
  { link }: View,
  note?: string,
): SafeHtml {
  return html`<p class="pages">
    ${Object.entries(links).map(([words, address]) => (address ? html`<a href="${link(address)}">${words}</a>` : html``))}
    ${note === undefined ? null : html`<span>${note}</span>`}
  </p>`;
}
