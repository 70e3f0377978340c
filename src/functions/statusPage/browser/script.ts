/**
 * What the status page does in a browser: keeps itself fresh, opens panels without leaving the page, runs jobs and
 * cancels runs. The server renders everything; what has changed is brought into the page in place, so that rows, focus
 * and scroll positions stay. The function key that the page was opened with is sent as a header.
 */
import { Idiomorph } from 'idiomorph';
import { describeCounts, formatDuration, formatNumber, formatSpan } from '../../../format';

const refreshEveryMs = 10_000;
const refreshWhileRunningMs = 2000;
/** Only its title and icon are visible, in a row of tabs. */
const refreshWhileHiddenMs = 60_000;
/** Longer than the server waits for its database. */
const answerWithinMs = 40_000;

const key = new URLSearchParams(location.search).get('code');
const headers: Readonly<Record<string, string>> = key === null ? {} : { 'x-functions-key': key };

interface Run {
  readonly jobId: string;
  readonly jobType: string;
  readonly status: string;
  readonly startedAt: string;
  readonly completedAt: string;
  readonly processedCount: number | null;
  readonly failedCount: number | null;
  readonly message: string | null;
  readonly facts: { readonly ended?: string };
}

/** A run, or a reminder that was sent by hand. */
type Answer = Run | { readonly sentTo: string };

interface Problem {
  readonly title?: string;
  readonly detail?: string;
  /** The run that failed. */
  readonly run?: Run;
}

/** The element with this id, which the server has rendered as one of this type. */
function find<T extends Element>(type: new () => T, id: string): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`The page has no #${id}`);
  return element;
}

function byId(id: string): HTMLElement {
  return find(HTMLElement, id);
}

function say(text: string): void {
  byId('announcer').textContent = text;
}

/** As a sentence: a browser's own words end without a full stop. */
function messageOf(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)).trim();
  return /[.!?…]$/.test(message) ? message : `${message}.`;
}

// --- What the server rendered, made ready for a reader with a script -------------------------------------------------

/** Jobs whose run this page has started and that has no answer yet, with what is shown. */
const pending = new Map<string, string>();
/** The bar of each chart that the Tab key reaches, by the job. */
const reachable = new Map<string, string>();

/** Prepares what was rendered before it is shown. */
function prepare(root: ParentNode): void {
  root.querySelector('#without-script')?.remove();
  for (const button of root.querySelectorAll<HTMLElement>('button[hidden]')) button.hidden = false;
  for (const time of root.querySelectorAll('time')) addLocalTime(time);
  for (const chart of root.querySelectorAll('[data-roving]')) chooseReachableBar(chart);
  if (key !== null)
    for (const link of root.querySelectorAll<HTMLAnchorElement>('a[href^="?"]')) {
      const query = new URLSearchParams(link.getAttribute('href') ?? '');
      query.set('code', key);
      link.setAttribute('href', `?${query.toString().replaceAll('%2F', '/')}`);
    }
  for (const [job, words] of pending) showPending(root, job, words);
}

/** Adds the reader's own zone, with the date where it differs. */
function addLocalTime(time: HTMLTimeElement): void {
  const date = new Date(time.dateTime);
  if (date.getTimezoneOffset() === 0 || time.querySelector('.local')) return;
  const clock = {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
    timeZoneName: 'short',
  } as const;
  const sameDay = date.getDate() === date.getUTCDate();
  const day = sameDay ? {} : ({ day: 'numeric', month: 'short' } as const);
  const local = document.createElement('span');
  local.className = 'local';
  local.textContent = `(${date.toLocaleString('en-GB', { ...day, ...clock })})`;
  time.append(' ', local);
}

/** One bar of a chart is in the tab order; the arrow keys lead to the others. */
function chooseReachableBar(chart: Element): void {
  const job = chart.closest<HTMLElement>('[data-job]')?.dataset.job ?? '';
  const bars = [...chart.querySelectorAll('a')];
  const chosen = bars.find(({ id }) => id === reachable.get(job)) ?? bars.at(-1);
  for (const bar of bars) bar.setAttribute('tabindex', bar === chosen ? '0' : '-1');
}

function moveInChart(event: KeyboardEvent): void {
  const bar = event.target instanceof Element ? event.target.closest<SVGAElement>('[data-roving] a') : null;
  const chart = bar?.closest('[data-roving]');
  if (!bar || !chart) return;
  const bars = [...chart.querySelectorAll<SVGAElement>('a')];
  const at = bars.indexOf(bar);
  const places: Readonly<Record<string, number>> = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    Home: 0,
    End: bars.length - 1,
  };
  const next = bars[places[event.key] ?? -1];
  if (!next) return;
  event.preventDefault();
  reachable.set(chart.closest<HTMLElement>('[data-job]')?.dataset.job ?? '', next.id);
  chooseReachableBar(chart);
  next.focus();
}

/** Shows at once that a run was asked for, until the server says that the job runs. */
function showPending(root: ParentNode, job: string, words: string): void {
  const card = root.querySelector<HTMLElement>(`#job-${job}`);
  const state = root.querySelector(`#state-${job}`);
  if (!card || !state || card.dataset.state === 'Running') return;
  card.dataset.stateBefore = card.dataset.state;
  card.dataset.wordsBefore = state.textContent;
  card.dataset.state = 'Running';
  state.textContent = words;
  const button = root.querySelector<HTMLElement>(`#act-${job}`);
  if (button) button.ariaDisabled = 'true';
}

/** Undoes showPending: the job can be run again. */
function endPending(job: string): void {
  pending.delete(job);
  const card = byId(`job-${job}`);
  const { stateBefore, wordsBefore } = card.dataset;
  if (stateBefore === undefined || wordsBefore === undefined) return;
  card.dataset.state = stateBefore;
  byId(`state-${job}`).textContent = wordsBefore;
  delete card.dataset.stateBefore;
  delete card.dataset.wordsBefore;
  const button = document.getElementById(`act-${job}`);
  if (button) button.ariaDisabled = null;
}

// --- Reading what is new ----------------------------------------------------------------------------------------------

/** When what is shown was read, in ms of performance.now(); and why the last attempt to refresh it failed. */
let shownSince = performance.now();
let refreshProblem = '';
/** The last attempt was refused with 429: what is shown is only a little older. */
let busy = false;
let paused = false;
let timer: number | undefined;
/** Counts addresses that were opened, so that a refresh of an earlier one is dropped. */
let visits = 0;

/** The Functions host has too many requests and refused this one. */
class BusyError extends Error {}

const tooManyRequests = 429;

/** @param part 'cards': without the panel, which stays as it is */
async function read(address: string, part: 'page' | 'cards'): Promise<Document> {
  const url = new URL(address, location.href);
  url.searchParams.delete('code');
  const response = await fetch(url, {
    headers: { ...headers, 'x-fragment': part },
    signal: AbortSignal.timeout(answerWithinMs),
  });
  if (response.status === tooManyRequests) throw new BusyError(describeStatus(tooManyRequests));
  const text = await response.text();
  const page = new DOMParser().parseFromString(text, 'text/html');
  if (response.ok && page.getElementById('jobs')) return page;
  const problem = page.querySelector('.problem');
  if (!problem) throw new Error(describeStatus(response.status));
  const [title, detail] = ['h2', '.detail'].map(
    (part) => problem.querySelector(part)?.textContent.trim() ?? '',
  );
  throw new Error(`${title}. ${detail}`);
}

function describeStatus(status: number): string {
  if (status === 401)
    return 'The function key is missing or wrong (HTTP 401). Open this page with ?code= and a valid key, or reload it to sign in again.';
  if (status === tooManyRequests) return 'The app is busy, and nothing was done. Try again in a few seconds.';
  return `The answer was HTTP ${status}, from outside the app.`;
}

/** Brings parts of a page that was read into this one, in place. */
function bringIn(page: Document, ids: readonly string[]): void {
  prepare(page);
  for (const id of ids) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!old || !fresh) continue;
    void Idiomorph.morph(old, fresh, {
      callbacks: {
        beforeNodeMorphed: (node: Node) => !(node instanceof Element && node.hasAttribute('data-keep')),
      },
    });
  }
  document.title = page.title;
  const [icon, freshIcon] = [document, page].map((one) => one.querySelector('link[rel=icon]'));
  if (icon && freshIcon) icon.setAttribute('href', freshIcon.getAttribute('href') ?? '');
  shownSince = performance.now();
  refreshProblem = '';
  busy = false;
  showAge();
}

function statesOf(): Map<string, string> {
  return new Map(
    [...document.querySelectorAll<HTMLElement>('article[data-job]')].map((card) => [
      card.querySelector('h2')?.textContent ?? '',
      card.querySelector('.state span')?.textContent ?? '',
    ]),
  );
}

/** @param part 'page': with the panel. One that searches the site's own tables is read when somebody asks for it. */
async function refresh(
  part: 'page' | 'cards' = document.querySelector('#panel[data-still]') ? 'cards' : 'page',
) {
  clearTimeout(timer);
  const visit = visits;
  try {
    const page = await read(location.href, part);
    if (visit !== visits) return;
    const news = refreshProblem === '' ? [] : ['Refreshed again.'];
    const before = statesOf();
    bringIn(page, ['header', 'summary', 'jobs', 'panel']);
    for (const [job, state] of statesOf()) if (before.get(job) !== state) news.push(`${job}: ${state}.`);
    if (news.length > 0) say(news.join(' '));
  } catch (error) {
    if (visit !== visits) return;
    busy = error instanceof BusyError;
    if (!busy) {
      if (refreshProblem === '') say(`This page could not be refreshed. ${messageOf(error)}`);
      refreshProblem = messageOf(error);
    }
    showAge();
  } finally {
    schedule();
  }
}

function schedule(): void {
  clearTimeout(timer);
  if (paused) return;
  const running = pending.size > 0 || document.querySelector('article[data-state=Running]') !== null;
  const often = running && refreshProblem === '' ? refreshWhileRunningMs : refreshEveryMs;
  timer = setTimeout(() => void refresh(), document.hidden ? refreshWhileHiddenMs : often);
}

/** How old what is shown is. */
function showAge(): void {
  const age = performance.now() - shownSince;
  const words = age < 60_000 ? `${Math.floor(age / 1000)} s` : formatSpan(age);
  const shown = byId('age');
  shown.classList.toggle('stale', refreshProblem !== '');
  shown.textContent =
    refreshProblem === ''
      ? `${paused ? 'Not updating: read' : 'Updated'} ${words} ago${busy ? '; the app is busy' : ''}`
      : `Not refreshed: ${refreshProblem} What is shown was read ${words} ago.`;
}

// --- Opening a panel --------------------------------------------------------------------------------------------------

async function visit(address: string, focus: string | undefined, push: boolean): Promise<void> {
  const mine = ++visits;
  byId('main').ariaBusy = 'true';
  byId('notice').textContent = '';
  say('Loading …');
  try {
    const page = await read(address, 'page');
    if (mine !== visits) return;
    if (push) history.pushState(null, '', address);
    bringIn(page, ['header', 'main']);
    say('');
    const target =
      document.getElementById('panel-title') ?? (focus === undefined ? null : document.getElementById(focus));
    target?.focus();
    if (target?.id === 'panel-title') target.scrollIntoView({ block: 'nearest' });
  } catch (error) {
    if (mine !== visits) return;
    say('');
    byId('notice').textContent = messageOf(error);
  } finally {
    byId('main').ariaBusy = 'false';
    schedule();
  }
}

function followLink(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const href = link.getAttribute('href') ?? '';
  if (link.id === 'reload') {
    event.preventDefault();
    void refresh('page');
  } else if (href.startsWith('?')) {
    event.preventDefault();
    opener = link.id === 'close-panel' ? opener : link.id;
    void visit(href, opener, true);
  }
}

/** Esc closes the panel, unless it is for something else: a dialog, or text that was typed. */
function closeByEscape(event: KeyboardEvent): void {
  if (event.key !== 'Escape' || event.defaultPrevented || dialog().open) return;
  if (event.target instanceof HTMLInputElement && event.target.value !== '') return;
  document.getElementById('close-panel')?.click();
}

function search(event: SubmitEvent): void {
  event.preventDefault();
  const text = find(HTMLInputElement, 'search-text').value.trim();
  if (text === '') return;
  opener = 'search-text';
  void visit(
    `?${new URLSearchParams({ search: text, ...(key !== null && { code: key }) }).toString()}`,
    opener,
    true,
  );
}

/** The link by which a panel was opened: closing it leads back there. */
let opener: string | undefined;

// --- Running and cancelling -------------------------------------------------------------------------------------------

const dialog = (): HTMLDialogElement => find(HTMLDialogElement, 'dialog');

function confirmed(button: HTMLElement): Promise<boolean> {
  const { title = '', text = '', confirm, typeNumber } = button.dataset;
  byId('dialog-title').textContent = title;
  byId('dialog-text').textContent = text;
  const yes = find(HTMLButtonElement, 'dialog-confirm');
  yes.textContent = confirm ?? button.textContent;
  const input = find(HTMLInputElement, 'dialog-number');
  byId('dialog-typed').hidden = typeNumber === undefined;
  byId('dialog-label').textContent = `Type ${formatNumber(Number(typeNumber ?? 0))} to confirm`;
  input.value = '';
  const check = (): void =>
    void (yes.disabled = typeNumber !== undefined && input.value.replace(/[\s,.]/g, '') !== typeNumber);
  input.oninput = check;
  check();
  dialog().returnValue = '';
  dialog().showModal();
  (typeNumber === undefined ? yes : input).focus();
  return new Promise((resolve) =>
    dialog().addEventListener('close', () => resolve(dialog().returnValue === 'confirmed'), { once: true }),
  );
}

async function act(button: HTMLElement): Promise<void> {
  const job = button.closest<HTMLElement>('[data-job]')?.dataset.job;
  const { post, busy = '' } = button.dataset;
  if (post === undefined || button.ariaDisabled === 'true' || !(await confirmed(button))) return;
  const result = byId(button.dataset.result ?? `result-${job ?? ''}`);
  show(result, busy);
  if (job !== undefined && button.dataset.starts !== undefined) {
    pending.set(job, busy);
    showPending(document, job, busy);
  }
  schedule();
  let outcome: Outcome;
  try {
    const response = await fetch(post, { method: 'POST', headers });
    // As docs/openapi.yaml says; undefined where something between the app and the browser answered.
    const answer = (await response.json().catch(() => undefined)) as (Answer & Problem) | undefined;
    outcome =
      response.ok && answer
        ? describeAnswer(answer)
        : { text: describeProblem(response, answer), failed: response.status !== tooManyRequests };
  } catch (error) {
    outcome = {
      text: `The answer was lost: ${messageOf(error)} ${job === undefined ? 'It may have been sent' : 'The run may be going on'}: this page shows it.`,
      failed: true,
    };
  }
  if (job !== undefined) endPending(job);
  show(result, outcome.text, outcome.failed);
  if (button.id === 'revoke-all' && outcome.run)
    await visit(`?${new URLSearchParams({ run: outcome.run.jobId }).toString()}`, undefined, true);
  else await refresh(button.dataset.result === undefined ? undefined : 'page');
}

interface Outcome {
  readonly text: string;
  readonly failed?: boolean;
  readonly run?: Run;
}

function show(result: HTMLElement, text: string, failed = false): void {
  result.classList.toggle('failed', failed);
  result.textContent = text;
}

function describeProblem(response: Response, problem: Problem | undefined): string {
  // The card says the rest, with the way out.
  if (problem?.run?.facts.ended === 'safetyStop')
    return 'The safety stop blocked this run: nothing was revoked.';
  if (problem?.title !== undefined) return `${problem.title}. ${problem.detail ?? ''}`;
  return describeStatus(response.status);
}

function describeAnswer(answer: Answer): Outcome {
  if ('sentTo' in answer) return { text: `Sent to ${answer.sentTo}, and recorded.` };
  return { text: describeRun(answer), run: answer };
}

function describeRun(run: Run): string {
  const { done = '' } = byId(`job-${run.jobType}`).dataset;
  const took = formatDuration(Date.parse(run.completedAt) - Date.parse(run.startedAt));
  return `${run.status}: ${describeCounts(done, run)} in ${took}.${run.message === null ? '' : ` ${run.message}`}`;
}

// --- Start ------------------------------------------------------------------------------------------------------------

if (document.getElementById('jobs')) start();
else if (document.querySelector('[data-retry]')) retryLater();

function start(): void {
  prepare(document);
  showAge();
  setInterval(showAge, 1000);
  schedule();
  document.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest<HTMLElement>('button') : null;
    if (button?.dataset.post !== undefined) void act(button);
    else if (button?.dataset.copy !== undefined) void copy(button);
    else followLink(event);
  });
  document.addEventListener('keydown', moveInChart);
  document.addEventListener('keydown', closeByEscape);
  dialog().addEventListener('keydown', (event) => {
    // The key that opened the dialog may still be down.
    if (event.key === 'Enter' && event.repeat) event.preventDefault();
  });
  byId('dialog-dismiss').addEventListener('click', () => dialog().close());
  find(HTMLFormElement, 'search').addEventListener('submit', search);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) schedule();
    else if (!paused) void refresh();
  });
  window.addEventListener('popstate', () => void visit(location.href, opener, false));
  byId('hold').addEventListener('click', () => {
    paused = !paused;
    byId('hold').textContent = paused ? 'Resume updates' : 'Stop updates';
    showAge();
    if (paused) clearTimeout(timer);
    else void refresh();
  });
}

async function copy(button: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(button.dataset.copy ?? '');
    say('Copied.');
    button.textContent = 'Copied';
  } catch (error) {
    byId('notice').textContent = `The browser did not copy it. ${messageOf(error)}`;
  }
}

/** The page could not be made: it opens as soon as it can be. */
function retryLater(): void {
  byId('retry').hidden = false;
  setTimeout(() => {
    read(location.href, 'page').then(() => location.reload(), retryLater);
  }, refreshEveryMs);
}
