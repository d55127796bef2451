// The events of a measurement: read by fetch, since EventSource cannot send a token, and resumed.
import { ApiError, stream } from './http.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
const STEADY_MS = 10_000; // A stream that breaks sooner makes the pauses longer.
const SILENT_MS = 40_000; // The coordinator writes a comment every 15 s.
const PASSING = ['unreachable', 'server', 'limited'];

/**
 * Follow a measurement until its end. A broken stream is resumed after its last event, without an
 * end of trying: a coordinator may take minutes to come back.
 * @param {string} id
 * @param {{
 *   event: (kind: string, data: any) => void,
 *   state: (name: 'live' | 'lost' | 'resumed' | 'ended' | 'failed', error?: ApiError) => void,
 *   signal: AbortSignal,
 *   pause?: (milliseconds: number, signal: AbortSignal) => Promise<void>,
 * }} told
 */
export async function follow(id, { event, state, signal, pause = paused }) {
  let last = '';
  let failures = 0;
  let told = '';
  const tell = (name) => {
    if (name !== told) state(name);
    told = name;
  };
  while (!signal.aborted) {
    let answered = Infinity;
    try {
      const headers = { Accept: 'text/event-stream', ...(last && { 'Last-Event-ID': last }) };
      const response = await stream(`/${id}/events`, { headers, signal });
      if (response.status === 204) return state('ended');
      answered = performance.now();
      tell(told ? 'resumed' : 'live');
      for await (const each of parsed(response.body)) {
        if (each.id) last = each.id;
        event(each.event, JSON.parse(each.data));
        if (each.event === 'end') return state('ended');
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && !PASSING.includes(error.kind)) return state('failed', error);
    }
    failures = performance.now() - answered < STEADY_MS ? failures + 1 : 1;
    tell('lost');
    await pause(Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS), signal);
  }
}

/**
 * Server-sent events of a body (HTML standard, section 9.2.6). Throws if nothing comes for long.
 * @param {ReadableStream<Uint8Array>} body
 */
export async function* parsed(body, silentMs = SILENT_MS) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), silentMs);
      if (done) return;
      rest += value;
      const blocks = rest.split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) {
        const found = fields(block);
        if (found.data !== undefined) yield found;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function fields(block) {
  const found = { event: 'message' };
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) found[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, '');
  }
  return found;
}

function within(promise, milliseconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new ApiError('unreachable')), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function paused(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
