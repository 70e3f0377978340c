import type { RequestListener } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { AcceptedMessage } from '.';

const pageSize = 50;

/** Styles of the page only, nothing from elsewhere; the messages' own inline styles and pictures are shown. */
const contentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/**
 * Serves the accepted messages: `/` as a page, newest first, older ones behind a link; `/messages` as a JSON array in
 * the order of acceptance.
 */
export function createMailbox(messages: readonly AcceptedMessage[]): RequestListener {
  return (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    if (request.method === 'GET' && pathname === '/') {
      const asked = Number(searchParams.get('before'));
      const before = asked > 0 ? Math.min(Math.floor(asked), messages.length) : messages.length;
      response
        .writeHead(200, {
          'Content-Type': 'text/html; charset=utf-8',
          'Content-Security-Policy': contentSecurityPolicy,
        })
        .end(renderPage(messages, before));
    } else if (request.method === 'GET' && pathname === '/messages') {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      // A reader that leaves early is no error.
      pipeline(Readable.from(jsonArray(messages)), response).catch(() => response.destroy());
    } else {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('There are only / and /messages\n');
    }
  };
}

function* jsonArray(items: readonly unknown[]): Generator<string> {
  yield '[';
  for (const [index, item] of items.entries()) yield (index > 0 ? ',\n' : '') + JSON.stringify(item);
  yield ']\n';
}

function renderPage(messages: readonly AcceptedMessage[], before: number): string {
  const first = Math.max(0, before - pageSize);
  const shown = messages.slice(first, before).reverse();
  const newest = before === messages.length;
  const links = [
    ...(newest ? [] : ['<a href="/">Newest</a>']),
    ...(first > 0 ? [`<a href="/?before=${first}" rel="next">Older</a>`] : []),
  ];
  const count = messages.length === 1 ? '1 message' : `${messages.length} messages`;
  const range = messages.length > pageSize ? `, ${before} to ${first + 1} shown here` : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Mailbox: ${count}</title>
<style>${styles}</style>
</head>
<body>
<header>
<h1>Mailbox</h1>
<p>${count} accepted by the local email service${range}. None has left this machine.</p>
</header>
<main>
${shown.length === 0 ? '<p class="empty">No message yet. Run a notification job and reload this page.</p>' : ''}
${shown.map((message, index) => renderMessage(message, newest && index === 0)).join('\n')}
</main>
${links.length > 0 ? `<nav aria-label="Pages">${links.join(' ')}</nav>` : ''}
</body>
</html>
`;
}

function renderMessage(message: AcceptedMessage, open: boolean): string {
  const { subject, to, sender, replyTo, acceptedAt, status, error, html, plainText } = message;
  const title = escapeHtml(subject);
  const instant = acceptedAt.toISOString();
  const details = [
    ['From', sender],
    ['Reply to', replyTo.join(', ')],
    ['Error', error && `${error.code}: ${error.message}`],
    ['Operation', message.operationId],
  ].filter(([, value]) => value);
  return `<details${open ? ' open' : ''}>
<summary>
<h2>${title}</h2>
<span class="to">${escapeHtml(to.join(', '))}</span>
<time datetime="${instant}">${instant.slice(0, 19).replace('T', ' ')} UTC</time>
<span class="status ${status}">${status}</span>
</summary>
<dl>${details.map(([name, value]) => `<dt>${name ?? ''}</dt><dd>${escapeHtml(value ?? '')}</dd>`).join('')}</dl>
${
  html === undefined
    ? ''
    : `<h3>HTML</h3>\n<iframe sandbox="" title="HTML of ${title}" srcdoc="${escapeHtml(html)}"></iframe>`
}
${plainText === undefined ? '' : `<h3>Plain text</h3>\n<pre tabindex="0">${escapeHtml(plainText)}</pre>`}
${(html ?? plainText) ? '' : '<p>The body was not kept.</p>'}
</details>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const styles = `
:root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d); --soft: light-dark(#57606a, #9da7b3);
  --card: light-dark(#ffffff, #161b22); --page: light-dark(#f6f8fa, #0d1117); --text: light-dark(#1f2328, #e6edf3);
  --link: light-dark(#0550ae, #79b8ff); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; }
header p, .empty { margin: .25rem 0 1.25rem; color: var(--soft); }
details { margin-bottom: .5rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
summary { display: grid; grid-template-columns: 1fr auto; gap: .125rem 1rem; padding: .75rem 1rem; cursor: pointer; }
summary::marker { content: none; }
h2::before { content: '▸ ' / ''; color: var(--soft); }
details[open] h2::before { content: '▾ ' / ''; }
summary:hover h2 { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: .5rem; }
h2 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.to, time { color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
.to { grid-row: 2; } time { grid-row: 2; grid-column: 2; white-space: nowrap; }
.status { grid-row: 1; grid-column: 2; font-size: .875rem; text-align: right; }
.status::before { content: ''; display: inline-block; width: .625rem; height: .625rem; margin-right: .375rem;
  border-radius: 50%; background: currentColor; }
.Succeeded { color: light-dark(#1a7f37, #3fb950); } .Failed { color: light-dark(#cf222e, #ff7b72); }
.Running { color: light-dark(#9a6700, #d29922); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .125rem 1rem; margin: 0; padding: .75rem 1rem;
  border-top: 1px solid var(--line); font-size: .875rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
h3 { margin: 0; padding: 0 1rem .25rem; font-size: .875rem; color: var(--soft); }
iframe { display: block; width: calc(100% - 2rem); height: 26rem; margin: 0 1rem 1rem; resize: vertical; overflow: auto;
  border: 1px solid var(--line); border-radius: .25rem; }
pre { margin: 0 1rem 1rem; padding: .75rem; border: 1px solid var(--line); border-radius: .25rem; overflow: auto;
  font-size: .875rem; white-space: pre-wrap; overflow-wrap: anywhere; }
nav { margin-top: 1rem; } a { color: var(--link); }
@media (max-width: 32rem) { summary { grid-template-columns: 1fr; }
  .to, time, .status { grid-row: auto; grid-column: 1; text-align: left; } }
`;
