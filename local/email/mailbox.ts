import { createHash } from 'node:crypto';
import type { RequestListener, ServerResponse } from 'node:http';
import { html, SafeHtml } from '../../src/html';
import { requestUrl } from '../loopback';
import type { AcceptedMessage } from '.';

/** The newest that the list shows; the filter finds the others. */
const listed = 200;

/** Width of the frame that shows a message as on a phone, in px. */
const phoneWidth = 390;

/** Between two looks of the list for new messages. In ms. */
const refreshMs = 2_000;

/** Fits each frame to its message, as frames have no scripts of their own. Keeps the list fresh, and the focus on its link. */
const script = `for (const frame of document.querySelectorAll('iframe')) {
  const fit = () => {
    frame.style.height = '0';
    frame.style.height = frame.contentDocument.documentElement.scrollHeight + 'px';
  };
  frame.addEventListener('load', fit);
  addEventListener('resize', fit);
}
const list = document.getElementById('list');
async function refresh() {
  if (document.hidden) return;
  const response = await fetch(location.href).catch(() => undefined);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  const { innerHTML } = page.getElementById('list');
  if (list.innerHTML === innerHTML) return;
  const focused = list.contains(document.activeElement) && document.activeElement.getAttribute('href');
  document.title = page.title;
  list.innerHTML = innerHTML;
  if (focused) list.querySelector('[href="' + CSS.escape(focused) + '"]')?.focus();
}
if (list) setInterval(refresh, ${refreshMs});`;
const scriptHash = createHash('sha256').update(script).digest('base64');

/** Nothing from elsewhere; the messages' own inline styles and pictures are shown. */
const inlineOnly = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const pagePolicy = `${inlineOnly}; frame-src 'self'; form-action 'self'; connect-src 'self'; script-src 'sha256-${scriptHash}'`;
const messagePolicy = `${inlineOnly}; sandbox allow-same-origin`;

/**
 * Serves the accepted messages:
 * - `/`: the list of the newest, newest first; `?q=` keeps those whose recipient or subject contains the text;
 * - `/messages`: a JSON array in the order of acceptance; filtered likewise;
 * - `/messages/{operationId}`: a message as it looks on a desktop, on a phone and as plain text;
 * - `/messages/{operationId}/html`: its HTML.
 */
export function createMailbox(messages: readonly AcceptedMessage[]): RequestListener {
  return (request, response) => {
    const { pathname, searchParams } = requestUrl(request);
    const text = searchParams.get('q')?.trim() ?? '';
    const find = (): AcceptedMessage[] => messages.filter((message) => matches(message, text.toLowerCase()));
    const [, operationId, part] = /^\/messages\/([^/]+)(\/html)?$/.exec(pathname) ?? [];
    const message = messages.find((one) => one.operationId === operationId);
    if (request.method !== 'GET') answer(response, 405, 'text/plain', 'Only GET\n');
    else if (pathname === '/') answerPage(response, renderList(find(), text));
    else if (pathname === '/messages') answer(response, 200, 'application/json', JSON.stringify(find()));
    else if (message && part === undefined) answerPage(response, renderMessage(message));
    else if (message?.html !== undefined) answer(response, 200, 'text/html', message.html, messagePolicy);
    else answer(response, 404, 'text/plain', 'There is no such page or message\n');
  };
}

function matches({ to, subject }: AcceptedMessage, text: string): boolean {
  return [...to, subject].some((value) => value.toLowerCase().includes(text));
}

function answerPage(response: ServerResponse, page: SafeHtml): void {
  answer(response, 200, 'text/html', page.html, pagePolicy);
}

function answer(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  policy = inlineOnly,
): void {
  const headers = { 'Content-Type': `${type}; charset=utf-8`, 'Content-Security-Policy': policy };
  response.writeHead(status, headers).end(body);
}

function renderList(messages: readonly AcceptedMessage[], text: string): SafeHtml {
  const { length } = messages;
  const count = length === 1 ? '1 message' : `${length} messages`;
  const empty = text
    ? 'No message matches the filter.'
    : 'No message yet. Run a notification job: its messages appear here.';
  return renderPage(
    `Mailbox: ${count}`,
    html`<header>
        <h1>Mailbox</h1>
        <form role="search">
          <label>Recipient or subject <input type="search" name="q" value="${text}" /></label>
          <button>Filter</button> ${text ? html`<a href="/">All</a>` : null}
        </form>
      </header>
      <main id="list">
        <p role="status">
          ${count}${text ? ` with “${text}”` : ''} accepted by the local email service.
          ${length > listed ? `The newest ${listed} are shown. ` : ''}None has left this machine.
        </p>
        ${length === 0 ? html`<p>${empty}</p>` : null}
        <ul>
          ${messages.slice(-listed).reverse().map(renderListItem)}
        </ul>
      </main>`,
  );
}

function renderListItem(message: AcceptedMessage): SafeHtml {
  return html`<li>
    <a href="/messages/${message.operationId}">${message.subject}</a>
    ${renderStatus(message)} ${renderRecipients(message)} ${renderTime(message)}
  </li>`;
}

function renderRecipients({ to }: AcceptedMessage): SafeHtml {
  return html`<a class="to" href="/?q=${encodeURIComponent(to.join())}">${to.join(', ')}</a>`;
}

function renderStatus({ status }: AcceptedMessage): SafeHtml {
  return html`<span class="${status}">${status}</span>`;
}

function renderTime({ acceptedAt }: AcceptedMessage): SafeHtml {
  const instant = acceptedAt.toISOString();
  return html`<time datetime="${instant}">${instant.slice(0, 19).replace('T', ' ')} UTC</time>`;
}

function renderMessage(message: AcceptedMessage): SafeHtml {
  const { subject, sender, replyTo, headers, error, html: body, plainText, operationId } = message;
  const headerLines = Object.entries(headers).map((entry) => entry.join(': '));
  const rows: Readonly<Record<string, string | SafeHtml>> = {
    To: renderRecipients(message),
    From: sender,
    'Reply to': replyTo.join(', '),
    Headers: headerLines.join('; '),
    Accepted: renderTime(message),
    Status: renderStatus(message),
    Error: error ? `${error.code}: ${error.message}` : '',
    Operation: operationId,
  };
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
          ${Object.entries(rows)
            .filter(([, value]) => value !== '')
            .map(
              ([name, value]) =>
                html`<dt>${name}</dt>
                  <dd>${value}</dd>`,
            )}
        </dl>
      </header>
      <main>
        ${body ? [frame('Desktop', '100%'), frame(`Phone, ${phoneWidth} px`, `${phoneWidth}px`)] : null}
        ${
          plainText
            ? html`<section>
                <h2>Plain text</h2>
                <pre tabindex="0">${plainText}</pre>
              </section>`
            : null
        }
        ${body || plainText ? null : html`<p>The body was not kept.</p>`}
      </main>`,
  );
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
        ${content} ${new SafeHtml(`<script>${script}</script>`)}
      </body>
    </html> `;
}

const styles = new SafeHtml(`
:root { color-scheme: light dark; --soft: light-dark(#57606a, #9da7b3); --link: light-dark(#0550ae, #79b8ff); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 82rem; padding: 1.5rem 1rem; background: light-dark(#fff, #0d1117);
  color: light-dark(#1f2328, #e6edf3); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
a { color: var(--link); }
h1 { margin: 0; font-size: 1.5rem; }
h2, dt, .to, time { font-size: .875rem; color: var(--soft); }
form { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; margin: 1rem 0; }
input, button { font: inherit; padding: .25rem .5rem; }
ul { margin: 0; padding: 0; list-style: none; }
li { display: grid; grid-template-columns: 1fr auto; gap: .125rem 1rem; padding: .75rem 0; border-top: 1px solid var(--soft); }
.Succeeded { color: light-dark(#1a7f37, #3fb950); } .Failed { color: light-dark(#cf222e, #ff7b72); }
.Running { color: light-dark(#7d4e00, #d29922); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .125rem 1rem; }
dd { margin: 0; }
section { overflow-x: auto; }
iframe { display: block; width: 100%; height: 40rem; border: 0; outline: 1px solid var(--soft); }
pre { margin: 0; padding: 1rem; border: 1px solid var(--soft); font-size: .875rem; white-space: pre-wrap; }
@media (min-width: 72rem) { main:has(iframe) { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 1.5rem; } }
`);
