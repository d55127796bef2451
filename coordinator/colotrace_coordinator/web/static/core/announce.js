// The one live region: what a screen reader says by itself.
import { signal } from './html.js';

const QUIET_MS = 2_000;

/** The text in the live region. */
export const announced = signal('');

let next = null;
let timer = 0;

/** Let screen readers say this, the newest text only, and one in two seconds at most. */
export function announce(text) {
  next = text;
  if (!timer) say();
}

function say() {
  timer = 0;
  if (next === null) return;
  announced.value = next;
  next = null;
  timer = setTimeout(say, QUIET_MS);
}
