import { createHash } from 'node:crypto';
import type { RequestListener, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { html, SafeHtml } from '../../src/html';
import { platforms } from '../../src/jobs/platforms';
import { requestUrl } from '../requestUrl';
import type { AcceptedMessage } from '.';

const pageSize = 50;

/** Width of the frame that shows a message as on a phone, in px. */
const phoneWidth = 390;

/** Between two looks of the list for new messages. In ms. */
const refreshMs = 2_000;

/**
 * Makes each frame of a message as high as it is; frames have no scripts of their own. Keeps the list fresh: what has
 * changed is replaced, and the focus stays on its link.
 */
const script = `for (const frame of document.querySelectorAll('iframe')) {
  const fit = () => {
    frame.style.height = '0';
    frame.style.height = frame.contentDocument.documentElement.scrollHeight + 'px';
  };
  frame.addEventListener('load', fit);
  addEventListener('resize', fit);
}
async function refresh() {
  if (document.hidden) return;
  const response = await fetch(location.href).catch(() => undefined);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  document.title = page.title;
  for (const part of document.querySelectorAll('[data-fresh]')) {
    const read = page.getElementById(part.id);
    if (part.innerHTML === read.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    part.replaceWith(read);
    if (focused !== null) [...read.querySelectorAll('a')].find((link) => link.getAttribute('href') === focused)?.focus();
  }
}
if (document.querySelector('[data-fresh]')) setInterval(refresh, ${refreshMs});`;

/** Nothing from elsewhere; the messages' own inline styles and pictures are shown. */
const inlineOnly = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const scriptElement = new SafeHtml(`<script>${script}</script>`);
const scriptHash = createHash('sha256').update(script).digest('base64');
const pagePolicy = `${inlineOnly}; frame-src 'self'; form-action 'self'; connect-src 'self'; script-src 'sha256-${scriptHash}'`;
const messagePolicy = `${inlineOnly}; sandbox allow-same-origin`;

/**
 * Serves the accepted messages:
 * - `/`: the list, newest first, 50 a page; `?to=` leaves those to addresses that contain the text, `?platform=` and
 *   `?kind=` those about a platform and of a kind;
 * - `/messages`: a JSON array in the order of acceptance; filtered likewise;
 * - `/messages/{operationId}`: a message as it looks on a desktop, on a phone and as plain text;
 * - `/messages/{operationId}/html`: its HTML alone.
 */
export function createMailbox(messages: readonly AcceptedMessage[]): RequestListener {
  return (request, response) => {
    const { pathname, searchParams } = requestUrl(request);
    const filter = readFilter(searchParams);
    const [, operationId, part] = /^\/messages\/([^/]+)(\/html)?$/.exec(pathname) ?? [];
    const message = messages.find((one) => one.operationId === operationId);
    if (request.method !== 'GET') answer(response, 405, 'text/plain', 'Only GET\n');
    else if (pathname === '/') {
      const found = messages.filter((one) => matches(one, filter));
      const asked = Number(searchParams.get('before'));
      const before = asked > 0 ? Math.min(Math.floor(asked), found.length) : found.length;
      answerPage(response, renderList(found, filter, before));
    } else if (pathname === '/messages') {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      // A reader that leaves early is no error.
      pipeline(Readable.from(jsonArray(messages.filter((one) => matches(one, filter)))), response).catch(() =>
        response.destroy(),
      );
    } else if (message && part === undefined) answerPage(response, renderMessage(message));
    else if (message?.html !== undefined)
      answer(response, 200, 'text/html', message.html, { 'Content-Security-Policy': messagePolicy });
    else answer(response, 404, 'text/plain', 'There is no such page or message\n');
  };
}

function answerPage(response: ServerResponse, page: SafeHtml): void {
  answer(response, 200, 'text/html', page.html, { 'Content-Security-Policy': pagePolicy });
}

function answer(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'Content-Type': `${type}; charset=utf-8`, ...headers }).end(body);
}

/** What is told apart by the subject alone (src/email/wording.ts): of very many messages only the envelope is kept. */
const kinds: Readonly<Record<string, RegExp>> = {
  Reminder: / ends /,
  'Last reminder': /^(Test: )?Last reminder/,
  'Access that has ended': / ha(s|ve) ended/,
};

interface Filter {
  readonly to: string;
  /** '': any. So is an unknown one. */
  readonly platform: string;
  readonly kind: string;
}

function readFilter(parameters: URLSearchParams): Filter {
  const read = (name: string): string => parameters.get(name)?.trim() ?? '';
  return { to: read('to'), platform: read('platform'), kind: read('kind') };
}

function matches({ to, subject }: AcceptedMessage, { to: part, platform, kind }: Filter): boolean {
  return (
    to.some((address) => address.toLowerCase().includes(part.toLowerCase())) &&
    (platform === '' ||
      new RegExp(`\\b${platform.replace(/\W/g, '')} (access|resources)\\b`).test(subject)) &&
    (kinds[kind]?.test(subject) ?? true)
  );
}

function* jsonArray(items: readonly unknown[]): Generator<string> {
  yield '[';
  for (const [index, item] of items.entries()) yield (index > 0 ? ',\n' : '') + JSON.stringify(item);
  yield ']\n';
}

function renderPage(title: string, content: SafeHtml): SafeHtml {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <style>
          ${styles}
        </style>
      </head>
      <body>
        ${content}
      </body>
    </html> `;
}

/** @param before the number of messages up to the newest that is shown */
function renderList(messages: readonly AcceptedMessage[], filter: Filter, before: number): SafeHtml {
  const first = Math.max(0, before - pageSize);
  const shown = messages.slice(first, before).reverse();
  const { to, ...others } = filter;
  const given = Object.entries<string>({ ...filter }).filter(([, value]) => value !== '');
  const count = messages.length === 1 ? '1 message' : `${messages.length} messages`;
  const range = messages.length > pageSize ? `, ${before} to ${first + 1} shown here` : '';
  const pageAt = (position?: number): string => {
    const query = new URLSearchParams(given);
    if (position) query.set('before', String(position));
    return `/?${query.toString()}`;
  };
  const empty =
    given.length > 0
      ? 'No message matches the filter.'
      : 'No message yet. Run a notification job: its messages appear here by themselves.';
  return renderPage(
    `Mailbox: ${count}`,
    html`<header>
        <h1>Mailbox</h1>
        <p id="count" data-fresh role="status">
          ${count}${to ? ` to “${to}”` : ''} accepted by the local email service${range}. None has left this
          machine.
        </p>
        <form role="search">
          <label>Recipient <input type="search" name="to" value="${to}" /></label>
          ${renderSelect(
            'Platform',
            'platform',
            platforms.map(({ name }) => name),
            others.platform,
          )}
          ${renderSelect('Kind', 'kind', Object.keys(kinds), others.kind)}
          <button>Filter</button> ${given.length > 0 ? html`<a href="/">All</a>` : null}
        </form>
      </header>
      <main id="messages" data-fresh>
        ${shown.length === 0 ? html`<p class="empty">${empty}</p>` : null}
        <ul>
          ${shown.map(renderListItem)}
        </ul>
      </main>
      <nav id="pages" data-fresh aria-label="Pages">
        ${before === messages.length ? null : html`<a href="${pageAt()}">Newest</a>`}
        ${first === 0 ? null : html`<a href="${pageAt(first)}" rel="next">Older</a>`}
      </nav>
      ${scriptElement}`,
  );
}

function renderSelect(label: string, name: string, values: readonly string[], chosen: string): SafeHtml {
  const option = (value: string, text: string): SafeHtml =>
    value === chosen
      ? html`<option value="${value}" selected>${text}</option>`
      : html`<option value="${value}">${text}</option>`;
  return html`<label>
    ${label}
    <select name="${name}">
      ${[option('', 'All'), ...values.map((value) => option(value, value))]}
    </select>
  </label>`;
}

function renderListItem(message: AcceptedMessage): SafeHtml {
  return html`<li>
    <a class="subject" href="/messages/${message.operationId}">${message.subject}</a>
    ${renderStatus(message)}
    <a class="to" href="/?to=${encodeURIComponent(message.to.join())}">${message.to.join(', ')}</a>
    ${renderTime(message)}
  </li>`;
}

function renderStatus({ status }: AcceptedMessage): SafeHtml {
  return html`<span class="status ${status}">${status}</span>`;
}

function renderTime({ acceptedAt }: AcceptedMessage): SafeHtml {
  const instant = acceptedAt.toISOString();
  return html`<time datetime="${instant}">${instant.slice(0, 19).replace('T', ' ')} UTC</time>`;
}

function renderMessage(message: AcceptedMessage): SafeHtml {
  const { subject, to, sender, replyTo, headers, error, plainText, operationId } = message;
  const rows: [string, string | SafeHtml | undefined][] = [
    ['To', html`<a href="/?to=${encodeURIComponent(to.join())}">${to.join(', ')}</a>`],
    ['From', sender],
    ['Reply to', replyTo.join(', ')],
    [
      'Headers',
      Object.entries(headers)
        .map((entry) => entry.join(': '))
        .join('; '),
    ],
    ['Accepted', renderTime(message)],
    ['Status', renderStatus(message)],
    ['Error', error && `${error.code}: ${error.message}`],
    ['Operation', operationId],
  ];
  const frame = (title: string, width: string): SafeHtml =>
    html`<section style="width: ${width}; max-width: 100%">
      <h2>${title}</h2>
      <iframe sandbox="allow-same-origin" title="${title}" src="/messages/${operationId}/html"></iframe>
    </section>`;
  return renderPage(
    subject,
    html`<header>
        <p><a href="/">Mailbox</a></p>
        <h1>${subject}</h1>
        <dl>
          ${rows.map(([name, value]) =>
            value
              ? html`<dt>${name}</dt>
                  <dd>${value}</dd>`
              : html``,
          )}
        </dl>
      </header>
      <main class="views">
        ${
          message.html === undefined
            ? null
            : html`${frame('Desktop', '100%')} ${frame(`Phone, ${phoneWidth} px`, `${phoneWidth}px`)}`
        }
        ${
          plainText === undefined
            ? null
            : html`<section>
                <h2>Plain text</h2>
                <pre tabindex="0">${plainText}</pre>
              </section>`
        }
        ${message.html === undefined && plainText === undefined ? html`<p>The body was not kept.</p>` : null}
      </main>
      ${scriptElement}`,
  );
}

const styles = new SafeHtml(`
:root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d); --soft: light-dark(#57606a, #9da7b3);
  --card: light-dark(#ffffff, #161b22); --page: light-dark(#f6f8fa, #0d1117); --text: light-dark(#1f2328, #e6edf3);
  --link: light-dark(#0550ae, #79b8ff); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 82rem; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 0 0 .5rem; font-size: .875rem; color: var(--soft); }
header p, .empty { margin: .25rem 0 1rem; color: var(--soft); }
form { margin-bottom: 1.25rem; }
form { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
input, button, select { font: inherit; padding: .25rem .5rem; border: 1px solid var(--soft); border-radius: .375rem; }
ul { margin: 0; padding: 0; list-style: none; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); }
ul:empty { display: none; }
li { display: grid; grid-template-columns: 1fr auto; gap: .125rem 1rem; padding: .75rem 1rem; }
li + li { border-top: 1px solid var(--line); }
.subject { font-weight: 600; }
li .to, li time { color: var(--soft); font-size: .875rem; }
.status { font-size: .875rem; }
.status::before { content: ''; display: inline-block; width: .625rem; height: .625rem; margin-right: .375rem;
  border-radius: 50%; background: currentColor; }
.Succeeded { color: light-dark(#1a7f37, #3fb950); } .Failed { color: light-dark(#cf222e, #ff7b72); }
.Running { color: light-dark(#9a6700, #d29922); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .125rem 1rem; font-size: .875rem; }
dt { color: var(--soft); } dd { margin: 0; }
.views { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.5rem; }
section { overflow-x: auto; }
iframe { display: block; width: 100%; height: 40rem; border: 0; outline: 1px solid var(--line); }
pre { margin: 0; padding: 1rem; border: 1px solid var(--line); background: var(--card); font-size: .875rem;
  white-space: pre-wrap; }
nav { display: flex; gap: 1rem; margin-top: 1rem; }
@media (min-width: 72rem) { .views { grid-template-columns: minmax(0, 1fr) auto; align-items: start; } }
@media (max-width: 32rem) { li { grid-template-columns: 1fr; } }
`);
