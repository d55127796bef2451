// What is around every view: the head with its links, the live region, signing in, and failures.
import { effect, html, nothing, signal, untracked } from '../core/html.js';
import { announced } from '../core/announce.js';
import { loaded } from '../core/modules.js';
import { go, href, route } from '../core/route.js';
import { resumeSession, session, signOut } from '../core/session.js';
import { problem } from './problem.js';
import { signInForm } from './sign_in.js';

/** By the name in the URL: the module, loaded when it is first shown. */
const VIEWS = {
  trace: () => import('./form.js'),
  m: () => import('./measurement.js'),
  compare: () => import('./compare.js'),
  history: () => import('./history.js'),
  pair: () => import('./pair.js'),
  fleet: () => import('./fleet.js'),
};
const LINKS = [
  ['trace', 'Trace'],
  ['history', 'History'],
  ['fleet', 'Fleet'],
];
const THEMES = { auto: 'Colours: as the system', light: 'Colours: light', dark: 'Colours: dark' };
const THEME_KEY = 'colotrace.theme';

const ready = signal(false);
const failed = signal(null);
const missing = signal(null); // Why the view of the route cannot be shown.
const shown = signal(null);
const theme = signal(localStorage.getItem(THEME_KEY) ?? 'auto');

let key = '';

/** Sign in with the tab's token, and show the view of each route from now on. */
export async function start() {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
  });
  effect(show);
  effect(() => {
    const title = shown.value?.title;
    const words = typeof title === 'string' ? title : title?.value;
    document.title = words ? `${words} · colotrace` : 'colotrace';
  });
  try {
    await resumeSession();
    failed.value = null;
  } catch (error) {
    failed.value = error;
  }
  ready.value = true;
  if (!session.value) focusFirst();
}

/** The field that a view is for has the focus, or else the view as a whole. */
function focusFirst() {
  requestAnimationFrame(() => {
    const first = document.querySelector('[data-focus]') ?? document.getElementById('main');
    first.focus({ preventScroll: true });
  });
}

/** Show the view that the route names. A change of its parameters is the view's own matter. */
async function show() {
  const { account, view, ids } = route.value;
  const accounts = session.value?.accounts ?? [];
  if (accounts.length && !account) {
    untracked(() => go(href('trace', { account: accounts[0].id, params: route.value.params }), { replace: true }));
    return;
  }
  const allowed = accounts.some((each) => each.id === account);
  const wanted = allowed ? [account, view, ...ids].join('/') : '';
  if (wanted === key) return;
  key = wanted;
  untracked(() => shown.peek()?.stop?.());
  shown.value = null;
  missing.value = null;
  if (!wanted || !VIEWS[view]) return;
  try {
    const module = await loaded(VIEWS[view]);
    if (key !== wanted) return;
    shown.value = untracked(() => module.view(route.value));
    scrollTo(0, 0);
    focusFirst();
  } catch (error) {
    if (key === wanted) missing.value = error;
  }
}

/** The whole page. */
export function template() {
  return html`
    <a class="skip" href="#main" @click=${skip}>Skip to the content</a>
    ${head()}
    <main id="main" tabindex="-1">${body()}</main>
    <div class="unseen" role="status" aria-live="polite">${announced.value}</div>
  `;
}

function skip(event) {
  event.preventDefault();
  document.getElementById('main').focus();
}

function body() {
  if (failed.value) return problem(failed.value, { again: () => location.reload(), heading: 'The page cannot be shown' });
  if (!ready.value) return html`<p class="quiet">Connecting to the coordinator…</p>`;
  if (!session.value) return signInForm();
  const { account, view } = route.value;
  if (!session.value.accounts.some((each) => each.id === account)) return otherAccount();
  if (!view) return html`<h1>Not found</h1><p class="problem">This link names nothing that the page shows.</p>`;
  if (missing.value) return problem(missing.value, { heading: 'The page cannot be shown' });
  return shown.value ? shown.value.template() : html`<p class="quiet">Loading…</p>`;
}

function otherAccount() {
  return html`
    <h1>Another account</h1>
    <div class="problem" role="alert">
      <p>This token has no permission in the account of this link. Sign out, and sign in with a token
        that has one.</p>
      <button type="button" @click=${() => signOut()}>Sign out</button>
    </div>
  `;
}

function head() {
  const current = route.value.view;
  return html`
    <header>
      <a class="brand" href=${href('trace')}>colotrace</a>
      ${session.value
        ? html`
            <nav aria-label="Views">
              ${LINKS.map(
                ([view, name]) => html`<a href=${href(view)}
                  aria-current=${view === current ? 'page' : nothing}>${name}</a>`,
              )}
            </nav>
          `
        : nothing}
      <div class="who">
        ${accounts()}
        <button type="button" class="plain" @click=${nextTheme} title=${THEMES[theme.value]}
          aria-label=${THEMES[theme.value]}>◐</button>
        ${session.value
          ? html`<button type="button" class="plain" @click=${() => signOut()}>Sign out</button>`
          : nothing}
      </div>
    </header>
  `;
}

function accounts() {
  const found = session.value?.accounts ?? [];
  const { account } = route.value;
  if (found.length < 2) return found.map((each) => html`<span class="account">${each.name}</span>`);
  return html`
    <label class="account"><span class="unseen">Account</span>
      <select @change=${(event) => go(href('trace', { account: event.target.value }))}>
        ${found.map((each) => html`<option value=${each.id} ?selected=${each.id === account}>${each.name}</option>`)}
      </select>
    </label>
  `;
}

function nextTheme() {
  const names = Object.keys(THEMES);
  theme.value = names[(names.indexOf(theme.value) + 1) % names.length];
  localStorage.setItem(THEME_KEY, theme.value);
}
