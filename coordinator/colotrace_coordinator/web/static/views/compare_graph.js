// The paths of two measurements as one graph: what only one of them has is marked.
import { effect, html, nothing, signal, untracked } from '../core/html.js';
import { ask } from '../core/http.js';
import { route, setParams } from '../core/route.js';
import { startWorker } from '../core/worker.js';
import { joined } from '../model/difference.js';
import { drawing } from '../model/graph.js';
import { measured, picture } from './graph_picture.js';
import { problem } from './problem.js';

const FOLDS = { asn: 'AS', address: 'Nothing: each address' };
const MOST_NODES = 900;

/**
 * @param {string} before @param {string} after ids
 * @param {string[]} targets that both have
 */
export function view(before, after, targets) {
  const shown = signal(null);
  const failed = signal(null);
  let stopping = new AbortController();
  let worker = null;
  let key = '';

  const choice = () => {
    const { by, target } = route.value.params;
    return { by: FOLDS[by] ? by : 'asn', target: targets.includes(target) ? target : targets[0] };
  };

  async function load(by, target) {
    const wanted = `${by} ${target}`;
    if (wanted === key) return;
    key = wanted;
    stopping.abort();
    stopping = new AbortController();
    const { signal } = stopping;
    shown.value = failed.value = null;
    try {
      const query = new URLSearchParams({ by, target });
      const found = await Promise.all([before, after].map((id) => ask(`/${id}/graph?${query}`, { signal })));
      draw(joined(...found.map(({ result }) => result)), wanted);
    } catch (error) {
      if (signal.aborted) return;
      failed.value = error;
      key = '';
    }
  }

  function draw(answer, wanted) {
    const of = measured(drawing(answer), new Map());
    if (of.drawn.nodes.length > MOST_NODES) {
      failed.value = new Error('These are too many nodes to draw. Fold them by AS.');
      return;
    }
    worker ??= startWorker('worker/layout.js');
    worker.onmessage = ({ data }) => {
      if (data.serial === key && wanted === key) shown.value = { of, places: data };
    };
    worker.onerror = () => {
      failed.value = new Error('The graph could not be placed. The matrix has the same differences.');
    };
    worker.postMessage({ serial: wanted, boxes: of.boxes, lines: of.lines });
  }

  const unwatch = effect(() => {
    const { by, target } = choice();
    if (route.value.params.view === 'graph' && target) untracked(() => load(by, target));
  });

  function stop() {
    unwatch();
    stopping.abort();
    worker?.terminate();
  }

  return { template, stop };

  function template() {
    if (!targets.length) return html`<p class="quiet">The two measurements have no target in common.</p>`;
    const { by, target } = choice();
    return html`
      <div class="graph-controls">
        ${choose('Fold by', 'by', FOLDS, by)}
        ${targets.length > 1 ? choose('Target', 'target', Object.fromEntries(targets.map((each) => [each, each])), target) : nothing}
      </div>
      ${failed.value ? problem(failed.value, { again: () => load(by, target) }) : nothing}
      ${shown.value ? drawn(shown.value) : failed.value ? nothing : html`<p class="quiet">Drawing…</p>`}
    `;
  }
}

function choose(words, name, choices, chosen) {
  return html`<label>${words}
    <select @change=${(event) => setParams({ [name]: event.target.value })}>
      ${Object.entries(choices).map(([value, label]) => html`<option value=${value} ?selected=${value === chosen}>${label}</option>`)}
    </select></label>`;
}

function drawn({ of, places }) {
  const [width, height] = [Math.ceil(places.width), Math.ceil(places.height)];
  return html`
    <figure>
      <div class="paths-frame" tabindex="0" role="region" aria-label="Paths of both measurements; the matrix says what differs">
        <svg class="paths compared" viewBox="0 0 ${width} ${height}" width=${width} height=${height}>
          ${picture(of, places, { current: 0, selected: -1 })}
        </svg>
      </div>
      <figcaption class="quiet">Dashed and crossed out: only before. With a thick border, or a green line: only after.</figcaption>
    </figure>
  `;
}
