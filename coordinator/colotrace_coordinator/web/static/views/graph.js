// The path graph of a measurement: what is chosen, loaded, placed and shown.
import { computed, effect, html, nothing, signal, untracked } from '../core/html.js';
import { announce } from '../core/announce.js';
import { ask } from '../core/http.js';
import { route, setParams } from '../core/route.js';
import { count } from '../core/words.js';
import { startWorker } from '../core/worker.js';
import { drawing } from '../model/graph.js';
import { ZOOM, frame, later, moving } from './graph_moving.js';
import { legend, told } from './graph_notes.js';
import { measured, picture, standalone } from './graph_picture.js';
import { details, graphTable } from './graph_table.js';
import { problem } from './problem.js';

const FOLDS = { asn: 'AS', city: 'City of the colos', address: 'Nothing: each address' };
const MOST_NODES = 900;

/**
 * The tab "Graph" of a measurement.
 * @param {import('../core/route.js').Route} from
 * @param {import('../model/measurement.js').Measurement} measurement
 */
export function view({ ids: [id] }, measurement) {
  const loading = signal(false);
  const failed = signal(null);
  const loaded = signal(null); // {answer, info}
  const shown = signal(null); // {of, places}
  const scale = signal(0); // 0: as it is at first
  const current = signal(0);
  let worker = null;
  let serial = 0;
  let stopping = new AbortController();
  const move = moving({ shown, scale, current });

  const ended = computed(() => (measurement.version.value, !measurement.running));
  const names = computed(() => (measurement.version.value, measurement.summary?.targets ?? []));

  const choice = () => {
    const { by, target, targets, colos, open = '' } = route.value.params;
    const all = targets === 'all' && names.value.length > 1;
    const one = names.value.includes(target) ? target : names.value[0];
    return { by: FOLDS[by] ? by : 'asn', target: all ? '' : one, all, apart: colos === 'apart', open };
  };

  function cities() {
    const { summary, rows } = measurement;
    return new Map([...rows.values()].map((each) => [summary.colos[each.colo], each.city]));
  }

  let key = '';
  async function load(by, target, isWhole) {
    const wanted = JSON.stringify([by, target, isWhole]);
    if (wanted === key) return;
    key = wanted;
    stopping.abort();
    stopping = new AbortController();
    const { signal: stop } = stopping;
    loading.value = true;
    failed.value = null;
    try {
      const query = new URLSearchParams({ by, ...(target && { target }) });
      const { result, info } = await ask(`/${id}/graph?${query}`, { signal: stop });
      loaded.value = { answer: result, info };
    } catch (error) {
      if (stop.aborted) return;
      failed.value = error;
      key = '';
    }
    loading.value = false;
  }

  function again() {
    key = '';
    const { by, target } = choice();
    load(by, target, ended.value);
  }

  function draw(answer, apart, open) {
    const drawn = drawing(answer, { apart, open: new Set(open.split(',')) });
    const of = measured(drawn, cities());
    serial += 1;
    if (drawn.nodes.length > MOST_NODES || !drawn.paths.length) {
      shown.value = { of, places: null };
      return;
    }
    worker ??= startWorker('worker/layout.js');
    worker.onmessage = ({ data }) => {
      if (data.serial !== serial) return;
      current.value = 0;
      shown.value = { of, places: data };
      announce(`Graph: ${count(drawn.nodes.length, 'node')} and ${count(drawn.edges.length, 'edge')}.`);
    };
    const wanted = serial;
    worker.onerror = () => {
      if (wanted === serial) failed.value = new Error('The graph could not be placed. Fold it, or read the table.');
    };
    worker.postMessage({ serial, boxes: of.boxes, lines: of.lines });
  }

  const stops = [
    effect(() => {
      const { by, target } = choice();
      const { value } = ended; // At the end it is loaded again.
      if (route.value.params.view === 'graph') untracked(() => load(by, target, value));
    }),
    effect(() => {
      const { apart, open } = choice();
      const { value } = loaded;
      if (value) untracked(() => draw(value.answer, apart, open));
    }),
    effect(() => {
      if (shown.value) later(move.reveal);
    }),
  ];

  return {
    template,
    /** Makes a picture that needs no page; null while nothing is drawn. */
    get svgText() {
      const { targets } = loaded.value?.answer ?? {};
      return shown.value?.places ? () => standalone(frame().querySelector('svg'), `Paths to ${targets.join(', ')}`) : null;
    },
    stop() {
      stopping.abort();
      worker?.terminate();
      for (const each of stops) each();
    },
  };

  function template() {
    const { value } = loaded;
    return html`
      <section class="graph" aria-label="Path graph">
        ${controls(value)}
        ${failed.value ? problem(failed.value, { again }) : nothing}
        ${value ? html`${told(value.answer, choose)} ${shown.value ? body() : html`<p class="quiet">Placing the nodes…</p>`}` : nothing}
        ${!value && !failed.value ? html`<p class="quiet">Loading the graph…</p>` : nothing}
      </section>
    `;
  }

  function controls(value) {
    const { by, all, apart } = choice();
    const places = shown.value?.places;
    return html`
      <div class="graph-controls">
        <label>Fold by
          <select @change=${(event) => setParams({ by: event.target.value, node: undefined, finding: undefined })}>
            ${Object.entries(FOLDS).map(([name, words]) => html`<option value=${name} ?selected=${name === by}>${words}</option>`)}
          </select>
        </label>
        ${names.value.length > 1 ? check('All targets', all, { targets: all ? undefined : 'all' }) : nothing}
        ${check('Each colo apart', apart, { colos: apart ? undefined : 'apart' })}
        ${places
          ? html`<div class="zoom" role="group" aria-label="Zoom">
              <button type="button" @click=${() => move.zoom(1 / ZOOM)} aria-label="Smaller">−</button>
              <button type="button" @click=${() => move.zoom(ZOOM)} aria-label="Larger">+</button>
              <button type="button" @click=${move.fit}>Fit</button>
            </div>` : nothing}
        ${redraw(value)}
      </div>
    `;
  }

  function check(words, checked, changes) {
    return html`<label><input type="checkbox" .checked=${checked}
      @change=${() => setParams({ ...changes, node: undefined, finding: undefined })}> ${words}</label>`;
  }

  /** A graph that moved at each event could not be read: it is drawn again on request, and at the end. */
  function redraw(value) {
    if (loading.value) return html`<span class="quiet">Loading…</span>`;
    if (!value || ended.value) return nothing;
    const more = measurement.finished - value.info.rows.finished;
    return html`<button type="button" @click=${again}>${more > 0 ? `Redraw with ${count(more, 'more row')}` : 'Redraw'}</button>`;
  }

  function choose(finding) {
    setParams({ finding, node: undefined });
    later(move.light);
  }

  function body() {
    const { of, places } = shown.value;
    const chosen = move.selected();
    const { target, open } = choice();
    return html`
      <div class="graph-body">
        ${places ? drawnPaths(of, places, chosen) : nothing}
        ${chosen
          ? details(chosen, {
              words: of.words[chosen.id],
              id,
              target: target || of.drawn.paths[0]?.target,
              close: () => move.select(-1),
              open: () => setParams({ open: [open, chosen.sources[0].name].filter(Boolean).join(','), node: undefined }),
            })
          : nothing}
      </div>
      ${!places && of.drawn.paths.length
        ? html`<p class="notice">${count(of.drawn.nodes.length, 'node')} are too many to draw. Fold by AS, choose one target, or read the table.</p>` : nothing}
      <details class="graph-table" ?open=${route.value.params.table === '1'}
        @toggle=${(event) => setParams({ table: event.target.open ? '1' : undefined })}>
        <summary>The same as a table</summary>
        ${route.value.params.table === '1' ? graphTable(of) : nothing}
      </details>
    `;
  }

  function drawnPaths(of, places, chosen) {
    const size = scale.value || move.readable(places);
    return html`
      <figure>
        <div class="paths-frame" @wheel=${move.wheel} @pointerdown=${move.onDown} @pointerover=${move.onHover}
          @pointerleave=${move.onHover} @click=${move.onClick} @keydown=${move.onKey} @focusin=${move.light} @focusout=${move.light}>
          <svg class="paths" viewBox="0 0 ${Math.ceil(places.width)} ${Math.ceil(places.height)}"
            width=${Math.ceil(places.width * size)} height=${Math.ceil(places.height * size)}>
            ${picture(of, places, { current: current.value, selected: chosen?.id ?? -1 })}
          </svg>
        </div>
        <figcaption>${legend(of.drawn)}
          <p class="quiet keys">Arrow keys follow the edges, Page Up and Page Down the distance, Enter shows details, + and − zoom.</p>
        </figcaption>
      </figure>
    `;
  }
}
