// Checks for tests of modules. Each throws, and says what was there.

const shown = (value) => JSON.stringify(value, (_, each) => (each instanceof Map ? [...each] : each)) ?? String(value);

/** Fails unless the value is true. */
export function assert(value, words = 'not true') {
  if (!value) throw new Error(words);
}

/** Fails unless both have the same JSON. */
export function equal(found, wanted, words = '') {
  if (shown(found) !== shown(wanted)) throw new Error(`${words} found ${shown(found)}, wanted ${shown(wanted)}`);
}

/** Fails unless the call throws; returns the error. */
export async function throws(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
