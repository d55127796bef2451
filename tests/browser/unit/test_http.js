import { equal, throws } from './assert.js';
import { access, accountsOf, ask } from '../core/http.js';

/** The error of a request that is answered with this. */
async function failing(status, errors, headers = {}) {
  const real = globalThis.fetch;
  globalThis.fetch = async () => new Response(JSON.stringify({ errors }), { status, headers });
  try {
    return await throws(() => accountsOf('a-token'));
  } finally {
    globalThis.fetch = real;
  }
}

const refused = (...chain) => [{ code: 10000, message: 'Authentication error', ...(chain.length && { error_chain: chain }) }];

export async function test_wrong_token_is_told_from_one_that_was_valid() {
  const wrong = await failing(401, refused());
  const expired = await failing(401, refused({ code: 1026, message: 'The token has expired' }));
  const revoked = await failing(401, refused({ code: 1027, message: 'The token was revoked' }));
  equal([wrong.kind, expired.kind, revoked.kind], ['wrong-token', 'expired-token', 'expired-token']);
  equal(expired.message, 'This token has expired. Ask an operator for a new one.');
  equal(revoked.message, 'This token was revoked. Ask an operator for a new one.');
}

export async function test_malformed_token_is_a_wrong_one() {
  const chain = [{ code: 6111, message: 'Invalid format for Authorization header' }];
  equal((await failing(400, [{ code: 6003, message: 'Invalid request headers', error_chain: chain }])).kind, 'wrong-token');
}

export async function test_limit_says_when_to_try_again() {
  const limited = await failing(429, [{ code: 10100, message: 'Please wait' }], { 'Retry-After': '7' });
  equal([limited.kind, limited.retryAfterS], ['limited', 7]);
}

export async function test_answer_of_a_proxy_without_json_has_a_kind() {
  equal((await failing(502, [])).kind, 'unreachable');
}

export async function test_late_refusal_of_the_token_before_does_not_end_the_session() {
  const [real, told] = [globalThis.fetch, access.refused];
  const ended = [];
  access.refused = (error) => ended.push(error.kind);
  try {
    globalThis.fetch = async () => {
      access.token = 'the-next'; // Somebody signs in before the answer.
      return new Response(JSON.stringify({ errors: refused() }), { status: 401 });
    };
    access.token = 'the-first';
    equal((await throws(() => ask(''))).kind, 'wrong-token');
    equal(ended, []);
    await throws(() => ask(''));
    equal(ended, ['wrong-token']);
  } finally {
    Object.assign(access, { token: '', refused: told });
    globalThis.fetch = real;
  }
}
