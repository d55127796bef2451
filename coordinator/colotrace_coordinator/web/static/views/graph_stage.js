// Where a graph of paths is drawn: placed by the worker, with zoom, details, and the table of the same.
import { computed, effect, html, nothing, signal } from '../core/html.js';
import { announce } from '../core/announce.js';
import { route, setParams } from '../core/route.js';
import { count } from '../core/words.js';
import { startWorker } from '../core/worker.js';
import { ZOOM, frame, later, moving } from './graph_moving.js';
import { legend } from './graph_notes.js';
import { measured, picture, standalone } from './graph_picture.js';
import { details, graphTable } from './graph_table.js';

const MOST_NODES = 900;

/**
 * @param {{link: (colo: string, drawn: object) => string, open?: (node: object) => void}} of `link`: to
 *   the row of a colo; `open`: draws the colos of a group apart
 */
export function stage({ link, open }) {
  const shown = signal(null); // {of, places}; `places` is null if there is nothing to place, or too much
  const failed = signal(null);
  const scale = signal(0); // 0: as it is at first
  const current = signal(0);
  const move = moving({ shown, scale, current });
  let worker = null;
  let serial = 0;

  /** Draw it, as soon as the worker has placed it. */
  function draw(drawn, cities) {
    const of = measured(drawn, cities);
    serial += 1;
    failed.value = null;
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
    worker.onerror = () => {
      failed.value = new Error('The graph could not be placed. Fold it, or read the table.');
    };
    worker.postMessage({ serial, boxes: of.boxes, lines: of.lines });
  }

  const visible = computed(() => route.value.params.view === 'graph');
  const unfollow = effect(() => {
    if (visible.value && shown.value) later(move.reveal);
  });

  function stop() {
    unfollow();
    worker?.terminate();
  }

  /** Buttons, while there is something to zoom. */
  function zoomButtons() {
    return shown.value?.places
      ? html`<div class="zoom" role="group" aria-label="Zoom">
          <button type="button" @click=${() => move.zoom(1 / ZOOM)} aria-label="Smaller">−</button>
          <button type="button" @click=${() => move.zoom(ZOOM)} aria-label="Larger">+</button>
          <button type="button" @click=${move.fit}>Fit</button>
        </div>` : nothing;
  }

  function template() {
    if (failed.value) return html`<p class="problem" role="alert">${failed.value.message}</p>`;
    if (!shown.value) return html`<p class="quiet">Placing the nodes…</p>`;
    const { of, places } = shown.value;
    const chosen = move.selected();
    const table = route.value.params.table === '1';
    return html`
      <div class="graph-body">
        ${places ? drawn(of, places, chosen) : nothing}
        ${chosen
          ? details(chosen, {
              words: of.words[chosen.id],
              compared: of.drawn.compared,
              link: (colo) => link(colo, of.drawn),
              close: () => move.select(-1),
              open: open && (() => open(chosen)),
            })
          : nothing}
      </div>
      ${!places && of.drawn.paths.length
        ? html`<p class="notice">${count(of.drawn.nodes.length, 'node')} are too many to draw. Fold by AS, choose one target, or read the table.</p>` : nothing}
      <details class="graph-table" ?open=${table} @toggle=${(event) => setParams({ table: event.target.open ? '1' : undefined })}>
        <summary>The same as a table</summary>
        ${table ? graphTable(of) : nothing}
      </details>
    `;
  }

  function drawn(of, places, chosen) {
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

  return {
    draw,
    stop,
    template,
    zoomButtons,
    light: () => later(move.light),
    /** Makes a picture that needs no page; null while nothing is drawn. */
    svgText: (title) => (shown.value?.places ? () => standalone(frame().querySelector('svg'), title) : null),
  };
}
