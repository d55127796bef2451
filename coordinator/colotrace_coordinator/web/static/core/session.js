// Who is signed in: a token, in `sessionStorage` only, and the accounts that it is for.
import { signal } from './html.js';
import { access, accountsOf } from './http.js';

const KEY = 'colotrace.token';

/**
 * `null`: nobody is signed in.
 * @type {import('../vendor/signals-core/signals-core.js').Signal<null | {
 *   token: string,
 *   accounts: {id: string, name: string, permissions: string[]}[],
 * }>}
 */
export const session = signal(null);

/** Why the last session ended: an `ApiError`, or null. */
export const ended = signal(null);

/**
 * Sign in with a token. Throws `ApiError` if the coordinator does not accept it.
 * @param {string} token
 */
export async function signIn(token) {
  const accounts = await accountsOf(token);
  sessionStorage.setItem(KEY, token);
  access.token = token;
  ended.value = null;
  session.value = { token, accounts };
}

/** Sign in with the token of this browser tab, if there is one. */
export async function resumeSession() {
  const token = sessionStorage.getItem(KEY);
  if (!token) return;
  try {
    await signIn(token);
  } catch (error) {
    if (error.kind === 'wrong-token' || error.kind === 'expired-token') signOut(error);
    else throw error;
  }
}

/** Forget the token. `why`: the error that ended the session. */
export function signOut(why = null) {
  sessionStorage.removeItem(KEY);
  access.token = '';
  ended.value = why;
  session.value = null;
}

const WRITE = ['traceroute:write', 'diagnostics:traceroute', 'admin'];
/** By what is to be done: the permissions of which any suffices. */
const ENOUGH = { read: ['traceroute:read', ...WRITE], write: WRITE, admin: ['admin'] };

/**
 * Whether the token has a permission in the account.
 * @param {'read' | 'write' | 'admin'} what
 * @param {string} account
 */
export function may(what, account) {
  const found = session.value?.accounts.find((each) => each.id === account);
  return !!found && found.permissions.some((each) => ENOUGH[what].includes(each));
}

access.refused = signOut;
