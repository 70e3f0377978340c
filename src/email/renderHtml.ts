/**
 * A digest as HTML for mail clients: 600 px wide, tables for the layout, inline styles, and dark colours in a style block
 * for the clients that read it. Outlook on Windows knows no max-width (hence its own table) and no padding of links
 * (hence mso-padding-alt). Gmail cuts messages off at 102 kB (hence one line for each end that is far away).
 */
import { escapeHtml, html, SafeHtml } from '../html';
import { isolate, isolatesToElements, withNeededIsolates } from './isolates';
import { withoutLinks } from './linkLookalikes';
import { byDay, formatFully, formatTime, maxFullEntries, type DigestContent, type Entry } from './wording';

const head = new SafeHtml(`<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
<style>
:root { color-scheme: light dark; supported-color-schemes: light dark }
@media (prefers-color-scheme: dark) {
  .page { background: #0d1117 !important }
  .card { background: #161b22 !important; border-color: #3d444d !important }
  .line { border-color: #3d444d !important }
  .text { color: #e6edf3 !important }
  .muted { color: #9da7b3 !important }
  .last { color: #f0b27a !important }
  .link { color: #79b8ff !important }
  .button { background: #1f6feb !important }
}
</style>
<!--[if mso]><style>td { font: 15px/23px 'Segoe UI', sans-serif }</style>
<xml><o:OfficeDocumentSettings xmlns:o="urn:schemas-microsoft-com:office:office">
<o:PixelsPerInch>96</o:PixelsPerInch>
</o:OfficeDocumentSettings></xml><![endif]-->`);

const outlookTable = new SafeHtml(
  '<!--[if mso]><table role="presentation" width="600" align="center"><tr><td><![endif]-->',
);
const outlookTableEnd = new SafeHtml('<!--[if mso]></td></tr></table><![endif]-->');

/** Keeps the text after it out of a mail list's preview. */
const previewEnd = new SafeHtml('&#847;&zwnj;&nbsp;'.repeat(60));

/** Attributes of a layout table. A long name breaks instead of widening it. */
const layout = new SafeHtml(
  'role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="table-layout: fixed; overflow-wrap: anywhere; word-break: break-word"',
);
const page = new SafeHtml(
  "max-width: 600px; margin: 0 auto; text-align: left; font: 15px/23px 'Segoe UI', -apple-system, Roboto, Helvetica, Arial, sans-serif",
);
const card = new SafeHtml(
  'padding: 28px 24px; background: #ffffff; border: 1px solid #d0d7de; border-radius: 8px; color: #1f2328',
);
const muted = new SafeHtml('class="muted" style="color: #59636e"');
const small = new SafeHtml('font-size: 13px; line-height: 20px; color: #59636e');
const sectionTitle = new SafeHtml(
  'style="margin: 36px 0 12px; font-size: 18px; line-height: 26px; font-weight: 600"',
);
const dayTitle = new SafeHtml(
  'style="margin: 28px 0 8px; font-size: 15px; line-height: 23px; font-weight: 600"',
);
const link = new SafeHtml('class="link" style="color: #0550ae; font-weight: 600"');
const lastReminder = new SafeHtml('<strong class="last" style="color: #9a3412">Last reminder</strong>');
const buttonLink = new SafeHtml(
  'display: inline-block; padding: 12px 24px; color: #ffffff; font-weight: 600; text-decoration: none',
);

export function renderHtml(content: DigestContent): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        ${head}
        <title>${content.subject}</title>
      </head>
      <body class="page" style="margin: 0; padding: 0; background: #f6f8fa">
        <div style="display: none; max-height: 0; overflow: hidden; mso-hide: all">
          ${content.preheader} ${previewEnd}
        </div>
        <main dir="ltr">
          <table ${layout}>
            <tr>
              <td align="center" style="padding: 24px 12px">
                ${outlookTable}
                <div style="${page}">
                  <p class="muted" style="margin: 0 0 12px; ${small}">${inline(content.label)}</p>
                  <table ${layout}>
                    <tr>
                      <td class="card text" style="${card}">${renderCard(content)}</td>
                    </tr>
                  </table>
                  <div class="muted" style="padding: 20px 0 0; ${small}">
                    ${content.footer.map((text) => html`<p style="margin: 0 0 8px">${inline(text)}</p>`)}
                  </div>
                </div>
                ${outlookTableEnd}
              </td>
            </tr>
          </table>
        </main>
      </body>
    </html>`.html;
}

function renderCard({ greeting, heading, lead, action, advice, ending, ended }: DigestContent): SafeHtml {
  const rest = ending.slice(maxFullEntries);
  return html`
    ${lead?.lastReminder ? html`<p style="margin: 0 0 16px">${lastReminder}</p>` : null}
    <p style="margin: 0 0 16px">${inline(greeting)}</p>
    <h1 style="margin: 0 0 20px; font-size: 21px; line-height: 29px; font-weight: 400">
      ${heading.map((part, index) =>
        index % 2 === 0 ? inline(part) : html`<strong>${inline(part)}</strong>`,
      )}
    </h1>
    ${lead ? renderLead(lead, action) : null}
    <p style="margin: 0">${advice}</p>
    ${renderDays(ending.slice(0, maxFullEntries), 'h2', renderBlock)}
    ${rest.length > 0 ? html`<h2 ${sectionTitle}>And ${rest.length} more</h2>` : null}
    ${renderDays(rest, 'h3', (entry) => renderLine(entry, formatTime(entry.end), 'Renew'))}
    ${ended.length > 0 ? html`<h2 ${sectionTitle}>Already ended</h2>` : null}
    ${ended.map((entry) => renderLine(entry, formatFully(entry.end), 'Request again'))}
  `;
}

/** A sentence, with its values isolated. */
function inline(text: string): SafeHtml {
  return new SafeHtml(isolatesToElements(escapeHtml(text)));
}

const value = (text: string): SafeHtml => inline(isolate(withoutLinks(text)));

/** The message's one button, and the grant's request number. */
function renderLead({ url, requestNumber }: Entry, action: string): SafeHtml {
  const button = html`<table
    role="presentation"
    cellpadding="0"
    cellspacing="0"
    border="0"
    style="margin: 0 0 20px"
  >
    <tr>
      <td class="button" style="background: #0550ae; border-radius: 6px; mso-padding-alt: 12px 24px">
        <a href="${url ?? ''}" style="${buttonLink}">${action}</a>
      </td>
    </tr>
  </table>`;
  return html`${url === undefined ? null : button}
  ${requestNumber ? html`<p ${muted}>Request ${value(requestNumber)}</p>` : null}`;
}

/** Entries under their days. */
function renderDays(
  entries: readonly Entry[],
  level: 'h2' | 'h3',
  render: (entry: Entry) => SafeHtml,
): SafeHtml[] {
  return [...byDay(entries)].map(([day, ofDay]) => {
    return html`<${level} ${dayTitle}>${day}</${level}> ${ofDay.map(render)}`;
  });
}

/** A grant in full. */
function renderBlock(entry: Entry): SafeHtml {
  const { resource, end, url } = entry;
  return html`<table ${layout}>
    <tr>
      <td class="line text" style="padding: 12px 0; border-top: 1px solid #d0d7de">
        <strong>${value(resource)}</strong><br />
        <span ${muted}>${facts(entry, formatTime(end))}</span>
        ${url === undefined ? null : html`<br />${renderLink('Renew access', url, resource)}`}
      </td>
    </tr>
  </table>`;
}

/** A grant in short. */
function renderLine(entry: Entry, end: string, action: 'Renew' | 'Request again'): SafeHtml {
  const { resource, url } = entry;
  return html`<p style="margin: 0 0 8px">
    ${value(resource)} <span ${muted}>· ${facts(entry, end)}</span>
    ${url === undefined ? null : html`· ${renderLink(action, url, resource)}`}
  </p>`;
}

/** Its name for a screen reader begins with the text shown (WCAG 2.5.3). */
function renderLink(text: string, url: string, resource: string): SafeHtml {
  const label = withNeededIsolates(`${text}: ${isolate(resource)}`);
  return html`<a href="${url}" aria-label="${label}" ${link}>${text}</a>`;
}

function facts(entry: Entry, end: string): SafeHtml {
  const request = entry.requestNumber ? html` · Request ${value(entry.requestNumber)}` : null;
  return html`${end}${request}${entry.lastReminder ? html` · ${lastReminder}` : null}`;
}
