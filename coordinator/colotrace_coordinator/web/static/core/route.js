// Which view is shown, and with which choices: the part of the URL after `#`.
import { signal } from './html.js';

const FORM = 'trace';
/** By the name in the URL: how many ids follow it. */
const VIEWS = { trace: 0, m: 1, compare: 2, history: 0, pair: 1, fleet: 0 };
const ID = /^[0-9a-f]{32}$/;

/**
 * @typedef {{view: string, account: string, ids: string[], params: Record<string, string>}} Route
 * `view` is '' for a URL that names no view.
 */

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  const [account = '', view = '', ...ids] = path.split('/').map(decoded);
  const params = Object.fromEntries(new URLSearchParams(query));
  if (!account || !view) return { view: FORM, account, ids: [], params };
  const known = VIEWS[view] === ids.length && ids.every((each) => ID.test(each));
  return { view: known ? view : '', account, ids, params };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

/** @type {import('../vendor/signals-core/signals-core.js').Signal<Route>} */
export const route = signal(parse(location.hash));

addEventListener('hashchange', () => {
  route.value = parse(location.hash);
});

/**
 * The link to a view.
 * @param {string} view
 * @param {{ids?: string[], params?: Record<string, string | number | undefined>, account?: string}} [to]
 */
export function href(view, { ids = [], params = {}, account = route.value.account } = {}) {
  const path = [account, view, ...ids].map(encodeURIComponent).join('/');
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== '');
  const query = new URLSearchParams(given).toString();
  return `#/${path}${query && `?${query}`}`;
}

/**
 * The choice that a URL names, or the standard one. What every object has, such as `constructor`, is
 * no choice.
 * @template {string} Name
 * @param {Record<Name, unknown>} choices
 * @param {string | undefined} wanted
 * @param {Name} standard
 * @returns {Name}
 */
export function choiceOf(choices, wanted, standard) {
  return wanted !== undefined && Object.hasOwn(choices, wanted) ? wanted : standard;
}

/** Show what a link leads to. */
export function go(link, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, '', link);
    route.value = parse(link);
  } else {
    location.hash = link;
  }
}

/** Change some parameters of the current view; `undefined` removes one. */
export function setParams(changes, { replace = true } = {}) {
  const { view, ids, params } = route.value;
  go(href(view, { ids, params: { ...params, ...changes } }), { replace });
}
