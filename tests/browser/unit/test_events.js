import { assert, equal, throws } from './assert.js';
import { follow, parsed } from '../core/events.js';

function body(...pieces) {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      controller.close();
    },
  });
}

async function all(stream) {
  const found = [];
  for await (const each of parsed(stream)) found.push(each);
  return found;
}

export async function test_events_are_read_across_pieces() {
  const found = await all(body('retry: 1000\nid: 1\nevent: st', 'art\ndata: {"a":', '"é"}\n\n', ': alive\n\n'));
  equal(found, [{ event: 'start', retry: '1000', id: '1', data: '{"a":"é"}' }]);
}

export async function test_letter_cut_between_pieces_is_whole() {
  const whole = new TextEncoder().encode('data: é\n\n');
  const cut = new ReadableStream({
    start(controller) {
      controller.enqueue(whole.slice(0, 7));
      controller.enqueue(whole.slice(7));
      controller.close();
    },
  });
  equal((await all(cut))[0].data, 'é');
}

export async function test_silent_stream_is_given_up() {
  const silent = new ReadableStream({});
  await throws(async () => {
    for await (const each of parsed(silent, 10)) assert(false, each);
  });
}

/** Answers of `fetch`, in turn; returns what was asked. */
async function followed(...answers) {
  const asked = [];
  const real = globalThis.fetch;
  globalThis.fetch = async (url, options) => {
    asked.push(options.headers['Last-Event-ID'] ?? '');
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const seen = [];
  const pauses = [];
  try {
    await follow('0'.repeat(32), {
      event: (kind) => seen.push(kind),
      state: (name, error) => seen.push(error ? `${name} ${error.kind}` : name),
      signal: new AbortController().signal,
      pause: async (milliseconds) => pauses.push(milliseconds),
    });
  } finally {
    globalThis.fetch = real;
  }
  return { asked, seen, pauses };
}

export async function test_broken_stream_goes_on_after_its_last_event() {
  const { asked, seen } = await followed(
    new Response(body('id: 1\nevent: start\ndata: {}\n\nid: 2\nevent: hops\ndata: {}\n\n')),
    new TypeError('network'),
    new Response('<html>', { status: 502 }),
    new Response(body('id: 3\nevent: row\ndata: {}\n\nid: 4\nevent: end\ndata: {}\n\n')),
  );
  equal(asked, ['', '2', '2', '2']);
  equal(seen, ['live', 'start', 'hops', 'lost', 'resumed', 'row', 'end', 'ended']);
}

export async function test_stream_that_breaks_at_once_is_asked_for_less_and_less() {
  const broken = () => new Response(body('id: 1\nevent: start\ndata: {}\n\nid: 2\nevent: hops\ndata: {"cut\n\n'));
  const { asked, seen, pauses } = await followed(broken(), broken(), broken(), new Response(null, { status: 204 }));
  equal(asked, ['', '2', '2', '2']);
  equal(pauses, [500, 1000, 2000]);
  equal(seen, ['live', 'start', 'lost', 'resumed', 'start', 'lost', 'resumed', 'start', 'lost', 'ended']);
}

export async function test_measurement_that_is_gone_is_not_asked_for_again() {
  const gone = JSON.stringify({ errors: [{ code: 1022, message: 'none' }] });
  const { seen } = await followed(new Response(gone, { status: 404 }));
  equal(seen, ['failed not-found']);
}

export async function test_client_that_has_had_the_end_is_told_so() {
  const { seen } = await followed(new Response(null, { status: 204 }));
  equal(seen, ['ended']);
}
