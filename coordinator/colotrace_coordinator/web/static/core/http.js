// Requests to the coordinator's API, and its errors in words.
import { route } from './route.js';

const BASE = new URL('client/v4/', document.baseURI).href;
const EXPIRED = 1026;
const REVOKED = 1027;
const ANSWER_WITHIN_MS = 100_000;
const TOKEN = /^[!-~]*$/; // Anything else cannot be sent in a header, and no token has it.

/** The token of all requests, and who is told that it is no longer accepted: `core/session.js`. */
export const access = { token: '', refused: (error) => {} };

/** A request that failed. `kind` says why; the message is for people. */
export class ApiError extends Error {
  /**
   * @param {'unreachable' | 'no-module' | 'wrong-token' | 'expired-token' | 'forbidden' |
   *   'not-found' | 'limited' | 'refused' | 'server'} kind
   * @param {{status?: number, errors?: {code: number, message: string,
   *   error_chain?: {code: number, message: string}[], source?: {pointer: string}}[], retryAfterS?: number}} told
   */
  constructor(kind, { status = 0, errors = [], retryAfterS = 0 } = {}) {
    super(words(kind, errors, retryAfterS));
    this.kind = kind;
    this.status = status;
    this.errors = errors;
    this.retryAfterS = retryAfterS;
  }
}

function words(kind, errors, retryAfterS) {
  const told = errors.map((each) => each.message).join('; ');
  switch (kind) {
    case 'unreachable':
      return 'The coordinator does not answer. Check that it runs and that this host reaches it.';
    case 'no-module':
      return 'A part of the page did not load. Check that the coordinator runs and that this host reaches it.';
    case 'wrong-token':
      return 'The coordinator does not know this token. Check that it was copied whole.';
    case 'expired-token':
      return `This token ${caused(errors, REVOKED) ? 'was revoked' : 'has expired'}. Ask an operator for a new one.`;
    case 'forbidden':
      return 'This token has no permission for that in this account. Ask an operator for a token that has it.';
    case 'limited':
      return `${told || 'Too many requests'}. Try again in ${retryAfterS || 1} s.`;
    default:
      return told || 'The coordinator failed to answer.';
  }
}

/** Whether one of the errors has a cause with this code. */
function caused(errors, code) {
  return errors.some((each) => (each.error_chain ?? []).some((cause) => cause.code === code));
}

/** The URL of a path below the account's traceroutes. */
export function address(path, account = route.value.account) {
  return `${BASE}accounts/${encodeURIComponent(account)}/diagnostics/traceroute${path}`;
}

/** The base URL of the API, as SDKs take it. */
export function baseUrl() {
  return BASE.slice(0, -1);
}

/**
 * Ask the API.
 * @param {string} path below the account's traceroutes
 * @param {{method?: string, body?: unknown, headers?: Record<string, string>,
 *   signal?: AbortSignal, account?: string}} [options] `account`: that of the route if none is given
 * @returns {Promise<{result: any, info: any, messages: any[], headers: Headers, status: number}>}
 *   throws `ApiError`, or the signal's reason
 */
export async function ask(path, options = {}) {
  return parsed(await fetched(address(path, options.account), options));
}

/** A measurement or part of it as text: `text('/ID?format=csv')`. */
export async function text(path, options = {}) {
  return (await fetched(address(path), options)).text();
}

/** The response itself, for streams. Throws as `ask` does. */
export async function stream(path, options = {}) {
  return fetched(address(path), { ...options, endless: true });
}

/** The accounts that a token is for. Throws as `ask` does. */
export async function accountsOf(token) {
  const url = `${BASE}accounts`;
  return (await parsed(await fetched(url, { token }))).result;
}

async function fetched(url, { method = 'GET', body, headers = {}, signal, token, endless } = {}) {
  const secret = token ?? access.token;
  if (!TOKEN.test(secret)) throw new ApiError('wrong-token');
  const limit = endless ? [] : [AbortSignal.timeout(ANSWER_WITHIN_MS)];
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: {
        ...(secret && { Authorization: `Bearer ${secret}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.any([...limit, ...(signal ? [signal] : [])]),
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError('unreachable');
  }
  if (response.ok) return response;
  const failed = await failure(response);
  signal?.throwIfAborted(); // The body was not read then: it would have told why.
  const over = failed.kind === 'wrong-token' || failed.kind === 'expired-token';
  // The answer to a request of the session before says nothing about this one.
  if (over && token === undefined && secret === access.token) access.refused(failed);
  throw failed;
}

async function parsed(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    throw new ApiError('unreachable');
  }
  return {
    result: body.result,
    info: body.result_info,
    messages: body.messages ?? [],
    headers: response.headers,
    status: response.status,
  };
}

async function failure(response) {
  const { status } = response;
  let errors = [];
  try {
    errors = (await response.json()).errors ?? [];
  } catch {
    // A proxy may answer with something else than JSON: the status says enough.
  }
  const retryAfterS = Number(response.headers.get('retry-after')) || 0;
  return new ApiError(kind(status, errors), { status, errors, retryAfterS });
}

function kind(status, errors) {
  if (caused(errors, EXPIRED) || caused(errors, REVOKED)) return 'expired-token';
  if (status === 401 || (status === 400 && errors.some((each) => each.code === 6003 || each.code === 9106)))
    return 'wrong-token';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not-found';
  if (status === 429) return 'limited';
  if (status === 502 || status === 503 || status === 504) return errors.length ? 'server' : 'unreachable';
  return status >= 500 ? 'server' : 'refused';
}
