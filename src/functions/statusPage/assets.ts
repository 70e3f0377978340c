/** The status page's style. */
export const style = `
:root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d); --soft: light-dark(#57606a, #9da7b3);
  --card: light-dark(#ffffff, #161b22); --page: light-dark(#f6f8fa, #0d1117); --text: light-dark(#1f2328, #e6edf3);
  --blue: light-dark(#0550ae, #79b8ff); --red: light-dark(#b3121d, #ff8f88); --green: light-dark(#146c2e, #56d364);
  --bar: light-dark(#0969da, #58a6ff); --grey: light-dark(#6e7781, #8b949e); --tint: light-dark(#ffdcd9, #5a1e1c);
  --on-blue: light-dark(#ffffff, #0d1117); }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0 auto; max-width: 84rem; padding: 1.25rem 1rem 3rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, p, dl, dd, figure { margin: 0; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.125rem; line-height: 1.3; }
a { color: var(--blue); }
code, .type { font-family: ui-monospace, monospace; font-size: .875rem; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: end; gap: .25rem 1.5rem;
  margin-bottom: 1rem; }
header p, .type, dt, figcaption { color: var(--soft); }
header strong { color: var(--text); font-weight: 600; overflow-wrap: anywhere; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem; align-items: start; }
article, .notice { min-width: 0; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
.notice { grid-column: 1 / -1; }
.type { overflow-wrap: anywhere; margin-bottom: .75rem; }
.state { margin-bottom: .5rem; padding-left: 1.5rem; text-indent: -1.5rem; font-weight: 600; overflow-wrap: anywhere; }
.state::before { content: '●' / ''; display: inline-block; width: 1.5rem; text-indent: 0; }
.state.running::before { content: '▶' / ''; } .state.failed::before { content: '✖' / ''; }
.state.idle, .Completed { color: var(--green); } .state.running, .InProgress { color: var(--blue); }
.state.failed, .Failed { color: var(--red); }
dl div { display: grid; grid-template-columns: 5.5rem 1fr; gap: .5rem; } dd { min-width: 0; overflow-wrap: anywhere; }
.message { padding-left: .625rem; border-left: 3px solid var(--line); overflow-wrap: anywhere; }
figure { margin-top: .75rem; }
svg { display: block; width: 100%; height: 6rem; border-bottom: 1px solid var(--line); }
rect.processed { fill: var(--bar); } rect.failed { fill: var(--red); } rect.duration { fill: var(--grey); }
rect.line { fill: var(--line); } rect.slot { fill: transparent; } rect.slot.Failed { fill: var(--tint); }
g:hover rect.slot { fill: var(--line); }
figcaption { display: flex; flex-wrap: wrap; gap: 0 1rem; margin-top: .25rem; font-size: .875rem; }
.key::before { content: ''; display: inline-block; width: .625rem; height: .625rem; margin-right: .375rem; background: var(--bar); }
.key.failed::before { background: var(--red); } .key.duration::before { background: var(--grey); }
.key.slot::before { background: var(--tint); outline: 1px solid var(--red); }
.actions { display: flex; gap: .5rem; margin-top: 1rem; }
button { min-height: 2.5rem; padding: 0 1.125rem; border: 1px solid var(--grey); border-radius: .375rem; background: var(--card);
  color: var(--text); font: inherit; font-weight: 600; cursor: pointer; }
button.primary { border-color: var(--blue); background: var(--blue); color: var(--on-blue); }
button:hover { text-decoration: underline; }
button[aria-disabled=true] { opacity: .6; cursor: progress; text-decoration: none; }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px; border-radius: .375rem; }
.result:not(:empty) { margin-top: .75rem; padding: .5rem .75rem; border: 1px solid var(--line); border-left: 4px solid var(--blue);
  border-radius: .25rem; overflow-wrap: anywhere; white-space: pre-line; }
.result.failed { border-left-color: var(--red); }
.detail { margin: .5rem 0; overflow-wrap: anywhere; white-space: pre-line; }
.problem { grid-column: 1 / -1; border-left: 4px solid var(--red); }
details { margin-top: .75rem; } summary { padding: .25rem 0; cursor: pointer; font-weight: 600; }
.scroll { max-height: 26rem; overflow: auto; container-type: inline-size; border: 1px solid var(--line); border-radius: .25rem; }
.preview .scroll { margin-top: .75rem; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3125rem .5rem; text-align: left; font-weight: 400; vertical-align: top; white-space: nowrap; }
td.name { white-space: normal; } td.path { min-width: 9rem; white-space: normal; overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: var(--card); color: var(--soft); }
tbody tr { border-top: 1px solid var(--line); } .explained + tr { border-top: 0; }
td.reason { padding-top: 0; color: var(--soft); white-space: normal; overflow-wrap: anywhere; }
/* Read without scrolling sideways, however wide the table is. */
td.reason p { position: sticky; left: .5rem; width: calc(100cqi - 1rem); }
dialog { max-width: min(32rem, calc(100vw - 2rem)); padding: 1.25rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); color: var(--text); }
dialog h2 { margin-bottom: .5rem; overflow-wrap: anywhere; } dialog .actions { justify-content: end; }
dialog::backdrop { background: rgb(0 0 0 / .5); }
@media (max-width: 32rem) { dl div { grid-template-columns: 1fr; gap: 0; margin-bottom: .25rem; } }
`;

/**
 * The status page's script: asks for a confirmation, runs or previews a job, tells what came of it, and reads the page
 * anew. The function key that the page was opened with goes on as a header, never into another address.
 */
export const script = String.raw`'use strict';
const key = new URLSearchParams(location.search).get('code');
const headers = key ? { 'x-functions-key': key } : {};
const dialog = document.querySelector('dialog');
document.querySelector('.notice').remove();

for (const actions of document.querySelectorAll('main .actions')) {
  const card = actions.closest('article');
  const buttons = [...actions.querySelectorAll('button')];
  for (const button of buttons) button.addEventListener('click', async () => {
    if (card.ariaBusy === 'true' || !(await confirmed(button))) return;
    card.ariaBusy = 'true';
    for (const each of buttons) each.ariaDisabled = 'true';
    card.querySelector('.preview').replaceChildren();
    try {
      await act(card, actions.dataset.job, 'dryRun' in button.dataset);
    } finally {
      card.ariaBusy = 'false';
      for (const each of buttons) each.ariaDisabled = 'false';
    }
  });
  actions.hidden = false;
}

function confirmed(button) {
  document.getElementById('dialog-title').textContent = button.dataset.title;
  document.getElementById('dialog-text').textContent = button.dataset.text;
  document.getElementById('dialog-confirm').textContent = button.textContent;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'confirmed'), { once: true }));
}

async function act(card, job, dryRun) {
  tell(card, dryRun ? 'Looking …' : 'Running …');
  try {
    const response = await fetch('jobs/' + job + '/runs' + (dryRun ? '?dryRun=true' : ''), { method: 'POST', headers });
    const answer = await response.json().catch(() => undefined);
    if (!response.ok) tell(card, problemText(response, answer), true);
    else if (dryRun) showPreview(card, answer);
    else tell(card, runText(answer));
  } catch (error) {
    tell(card, 'The answer was lost (' + error.message + '). ' + (dryRun ? 'Try again.' : 'The run may be going on: reload this page to see.'), true);
    return;
  }
  if (!dryRun) await refresh().catch((error) => tell(card, card.querySelector('.result').textContent +
    '\nThe page could not be read anew (' + error.message + '): reload it.', true));
}

function tell(card, text, failed = false) {
  const result = card.querySelector('.result');
  result.classList.toggle('failed', failed);
  result.textContent = text;
}

function problemText(response, problem) {
  if (problem?.title) return problem.title + '. ' + (problem.detail ?? '');
  if (response.status === 401) return 'The function key is missing or wrong (HTTP 401). Open this page with ?code= and a valid key.';
  return 'The answer was HTTP ' + response.status + ', from outside the app. Reload this page to see how the job stands.';
}

function runText(run) {
  const seconds = (new Date(run.completedAt) - new Date(run.startedAt)) / 1000;
  const took = seconds.toFixed(seconds < 1 ? 2 : 1);
  return run.status + ': ' + (run.processedCount ?? 0) + ' processed' +
    (run.failedCount === null ? '' : ', ' + run.failedCount + ' failed') + ' in ' + took + ' s.' +
    (run.errorMessage ? ' ' + run.errorMessage : '');
}

function showPreview(card, preview) {
  const shown = preview.grants.length;
  tell(card, 'A run now would handle ' + preview.count + (preview.count === 1 ? ' grant.' : ' grants.') +
    (preview.count > shown ? ' The first ' + shown + ' are shown.' : '') +
    (preview.exceedsCeiling ? ' That is more than the safety stop allows: a run would revoke nothing.' : ''), preview.exceedsCeiling);
  if (shown === 0) return;
  const reminders = 'leadDays' in preview.grants[0];
  const table = make('table');
  const head = table.createTHead().insertRow();
  for (const title of ['Request', 'Holder', 'Access', 'Ends (UTC)', ...(reminders ? ['Reminder'] : [])])
    head.append(Object.assign(make('th', title), { scope: 'col' }));
  const body = table.createTBody();
  for (const grant of preview.grants) {
    const row = body.insertRow();
    row.append(Object.assign(make('th', grant.requestNumber), { scope: 'row' }),
      Object.assign(make('td', grant.requesterName), { className: 'name' }),
      Object.assign(make('td', grant.resource), { className: 'path' }),
      make('td', grant.expiresAt.slice(0, 16).replace('T', ' ')));
    if (reminders) row.append(make('td', grant.leadDays + (grant.leadDays === 1 ? ' day' : ' days')));
  }
  const region = Object.assign(make('div'), { className: 'scroll', tabIndex: 0, role: 'region', ariaLabel: 'Grants that a run would handle' });
  region.append(table);
  card.querySelector('.preview').replaceChildren(region);
}

function make(name, text = '') {
  return Object.assign(document.createElement(name), { textContent: text });
}

async function refresh() {
  const response = await fetch(location.pathname, { headers });
  if (!response.ok) throw new Error('HTTP ' + response.status);
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  for (const part of document.querySelectorAll('[data-part]')) part.replaceWith(fresh.getElementById(part.id));
  document.title = fresh.title;
}
`;
