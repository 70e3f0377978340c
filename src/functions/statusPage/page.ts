import type { Settings } from '../../config/settings';
import { SafeHtml, html } from '../../html';
import type { Job } from '../../jobs/catalogue';
import { maxQueryLength } from '../../jobs/requestSearch';
import { stateNames, stateWords, type JobState, type StateName } from '../../jobs/judgeJob';
import { renderCard } from './card';
import type { DueCount } from './dueCounts';
import { timeTag, type View } from './parts';
import { renderPreviewPanel, type PreviewPanel } from './previewPanel';
import { renderRequestPanel, type RequestPanel } from './requestPanel';
import { renderRunPanel, type RunPanel } from './runPanel';
import { isFiltered, renderRunsPanel, type RunsPanel } from './runsPanel';
import { renderSearchPanel, type SearchPanel } from './searchPanel';

/** Runs of each job in its chart, and in a page of its history. */
export const runsShown = 30;

export type Panel = RunsPanel | RunPanel | PreviewPanel | SearchPanel | RequestPanel;

export interface StatusPage extends View {
  readonly states: readonly JobState[];
  /** As far as they are known. */
  readonly dueCounts: ReadonlyMap<Job['type'], DueCount>;
  readonly settings: Pick<Settings, 'database' | 'revocationCeiling' | 'appService' | 'problems'>;
  /** Who is signed in, where that is known. */
  readonly operator: string | undefined;
  /** The job whose panel is open. */
  readonly selected: Job | undefined;
  readonly panel: Panel | undefined;
}

export interface Assets {
  readonly style: string;
  readonly script: string;
}

/** The status page: how the jobs are doing, readable without its script, which keeps it fresh and runs jobs. */
export function renderStatusPage(page: StatusPage, assets: Assets): SafeHtml {
  const words = summarise(page.states);
  return document(
    words.title,
    page.states,
    assets,
    html`${renderContent(page)}
      <p id="announcer" class="visually-hidden" role="status"></p>
      <dialog id="dialog" aria-labelledby="dialog-title" aria-describedby="dialog-text">
        <form method="dialog">
          <h2 id="dialog-title"></h2>
          <p id="dialog-text"></p>
          <p id="dialog-typed">
            <label id="dialog-label" for="dialog-number"></label>
            <input id="dialog-number" inputmode="numeric" autocomplete="off" />
          </p>
          <div class="actions">
            <button type="button" id="dialog-dismiss">Go back</button>
            <button value="confirmed" class="primary" id="dialog-confirm"></button>
          </div>
        </form>
      </dialog>
      ${verbatim('script', assets.script)}`,
  );
}

/** The part of the page that changes with time, for the script. */
export function renderFragment(page: StatusPage): SafeHtml {
  return html`<title>${summarise(page.states).title}</title> ${icon(page.states)} ${renderContent(page)}`;
}

function renderContent(page: StatusPage): SafeHtml {
  const { states, dueCounts, settings, operator, selected, panel, readAt, link } = page;
  const { database, appService, problems } = settings;
  const ceilingKnown = !problems.some(({ group }) => group === 'revocation');
  const revocationCeiling = ceilingKnown ? settings.revocationCeiling : undefined;
  const build = typeof BUILD === 'undefined' ? undefined : BUILD;
  return html`<header id="header">
      <div>
        <h1><a href="${link({})}">Access Expiry Jobs</a></h1>
        <p>
          ${appService.siteName === undefined ? null : html`<strong>${appService.siteName}</strong> · `}database
          <strong>${database.name}</strong> on
          <strong>${database.server}</strong
          >${build ? html` · v${build.version} (<code>${build.commit}</code>)` : null}${operator === undefined ? null : html` · signed in as <strong>${operator}</strong>`}${page.mayOperate ? null : html`, with read access; running jobs requires the role <strong>Operator</strong>`}
        </p>
      </div>
      ${renderSearchForm(page)}
      <p class="live">
        <span id="read-at">As of ${timeTag(readAt)}</span>
        <span id="age" data-keep></span>
        <button id="hold" hidden data-keep>Stop updates</button>
        <a class="button" id="reload" href="">Refresh</a>
      </p>
    </header>
    <main id="main" ${panel ? html` class="with-panel"` : null}>
      <p id="summary" class="summary">
        ${summarise(states).parts.map(({ state, words }) => html`<span data-state="${state}">${words}</span>`)}
        <a id="history-all" href="${link({ runs: 'all' })}">Runs of all jobs</a>
      </p>
      <p id="loading" aria-hidden="true">Loading …</p>
      <p id="notice" class="result failed" role="alert" data-keep></p>
      ${renderSettingProblems(problems)}
      <p class="notice" id="without-script">
        Everything here can be read without JavaScript. Running jobs, cancelling runs and automatic refresh
        require it.
      </p>
      <div id="jobs">
        ${states.map((state) => renderCard({ jobState: state, due: dueCounts.get(state.job.type), revocationCeiling, selected: state.job === selected }, page))}
      </div>
      ${panel ? renderPanel(panel, page) : null}
    </main>`;
}

/** Settings that stop some jobs, while the others run. */
function renderSettingProblems(problems: Settings['problems']): SafeHtml | null {
  if (problems.length === 0) return null;
  return html`<div class="alert" id="setting-problems">
    <p><strong>Settings are wrong; the jobs that need them do not run:</strong></p>
    <ul>
      ${problems.map(({ setting, message }) => html`<li><code>${setting}</code>: ${message}</li>`)}
    </ul>
  </div>`;
}

function renderPanel(panel: Panel, view: View): SafeHtml {
  // A panel that searches the site's own tables is not refreshed automatically.
  const still = panel.kind === 'runs' ? isFiltered(panel) : panel.kind !== 'run';
  return html`<section
    id="panel"
    aria-labelledby="panel-title"
    data-panel="${panel.kind}"
    ${still ? html`data-still` : null}
  >
    <p class="close"><a class="button" id="close-panel" href="${view.link({})}">Close</a></p>
    ${renderPanelContent(panel, view)}
  </section>`;
}

function renderPanelContent(panel: Panel, view: View): SafeHtml {
  switch (panel.kind) {
    case 'preview':
      return renderPreviewPanel(panel, view);
    case 'run':
      return renderRunPanel(panel, view);
    case 'runs':
      return renderRunsPanel(panel, view);
    case 'search':
      return renderSearchPanel(panel, view);
    case 'request':
      return renderRequestPanel(panel, view);
  }
}

/** Finds requests; without the script as a form. What is being typed stays when the page refreshes. */
function renderSearchForm({ key, panel }: StatusPage): SafeHtml {
  const query = panel?.kind === 'search' ? panel.query : '';
  return html`<form id="search" role="search" data-keep>
    <label for="search-text">Find a request</label>
    <input
      id="search-text"
      type="search"
      name="search"
      value="${query}"
      maxlength="${maxQueryLength}"
      placeholder="Number, name …"
      autocomplete="off"
    />
    ${key === null ? null : html`<input type="hidden" name="code" value="${key}" />`}
    <button>Search</button>
  </form>`;
}

/** Access that has ended stays open, or reminders are not sent. */
function isBad(state: StateName): boolean {
  return state === 'Misconfigured' || state === 'Overdue' || state === 'Failed';
}

/** How many jobs are in which state, the worst first. */
function summarise(states: readonly JobState[]): {
  title: string;
  parts: { state: StateName; words: string }[];
} {
  const parts = stateNames.flatMap((state) => {
    const count = states.filter((job) => job.state === state).length;
    if (count === 0) return [];
    const needs = state === 'Attention' && count > 1 ? 'need attention' : stateWords[state].toLowerCase();
    return [{ state, words: `${count} ${needs}` }];
  });
  const bad = parts.filter(({ state }) => isBad(state) || state === 'Attention');
  const title = [...(bad.length > 0 ? [bad.map(({ words }) => words).join(', ')] : []), 'Access Expiry Jobs'];
  return { title: title.join(': '), parts };
}

/** What the page shows when it cannot be made: what is wrong, and what to do. */
export interface ProblemShown {
  readonly title: string;
  readonly detail: string;
  /** A link to what helps; absent: to the same address again. */
  readonly way?: { readonly href: string; readonly text: string };
  /** It may pass: the script asks again. */
  readonly retry: boolean;
}

export function renderProblemPage(problem: ProblemShown, assets: Assets): SafeHtml {
  return document(
    problem.title,
    [],
    assets,
    html`${renderProblem(problem)} ${verbatim('script', assets.script)}`,
  );
}

export function renderProblem({ title, detail, way, retry }: ProblemShown): SafeHtml {
  const { href, text } = way ?? { href: '', text: 'Try again' };
  return html`<header id="header"><h1>Access Expiry Jobs</h1></header>
    <main id="main">
      <article class="problem" ${retry ? html`data-retry` : null}>
        <h2>${title}</h2>
        <p class="detail">${detail}</p>
        <p><a href="${href}">${text}</a></p>
        ${retry ? html`<p id="retry" class="hint" hidden>This page tries again every 10 seconds.</p>` : null}
      </article>
    </main>`;
}

/** A tab that shows at a glance whether something is wrong. */
function icon(states: readonly JobState[]): SafeHtml {
  const worst = stateNames.find((name) => states.some(({ state }) => state === name));
  // Without states the page says what is wrong instead.
  const bad = worst === undefined || isBad(worst);
  const colour = bad ? '%23c9252d' : worst === 'Attention' ? '%23b35900' : '%231a7f37';
  const shape = bad ? "<path d='M3 3l10 10M13 3L3 13' stroke='white' stroke-width='3'/>" : '';
  return html`<link
    rel="icon"
    href="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='8' fill='${colour}'/>${new SafeHtml(shape)}</svg>"
  />`;
}

/** An element whose text is exactly this: the content security policy knows it by its hash. */
function verbatim(element: 'script' | 'style', text: string): SafeHtml {
  return new SafeHtml(`<${element}>${text}</${element}>`);
}

function document(title: string, states: readonly JobState[], { style }: Assets, body: SafeHtml): SafeHtml {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        ${icon(states)} ${verbatim('style', style)}
      </head>
      <body>
        ${body}
      </body>
    </html> `;
}
