// The graph of differences: the paths of two measurements as one, with what is new, gone, or slower.
import { effect, html, nothing, signal, untracked } from '../core/html.js';
import { ask } from '../core/http.js';
import { choiceOf, href, route, setParams } from '../core/route.js';
import { joined, withChanges } from '../model/difference.js';
import { drawing } from '../model/graph.js';
import { stage } from './graph_stage.js';
import { problem } from './problem.js';

const FOLDS = { asn: 'AS', address: 'Nothing: each address' };

/**
 * @param {string} before ids of the measurements
 * @param {string} after
 * @param {{diff: any, targets: string[]}} of the API's comparison, and the targets that both have
 */
export function view(before, after, { diff, targets }) {
  const failed = signal(null);
  let stopping = new AbortController();
  let key = '';

  const choice = () => {
    const { by, target } = route.value.params;
    return { by: choiceOf(FOLDS, by, 'asn'), target: targets.includes(target) ? target : targets[0] };
  };
  const paths = stage({
    link: (colo) => href('m', { ids: [after], params: { view: 'matrix', target: choice().target, colo } }),
  });

  async function load({ by, target }) {
    const query = new URLSearchParams({ by, target }).toString();
    if (query === key) return;
    key = query;
    stopping.abort();
    stopping = new AbortController();
    const { signal: stop } = stopping;
    failed.value = null;
    try {
      const graphs = await Promise.all([before, after].map((id) => ask(`/${id}/graph?${query}`, { signal: stop })));
      const [first, second] = graphs.map((each) => each.result);
      const told = diff.changes.filter((each) => each.target === target);
      paths.draw(drawing(withChanges(joined(first, second), told)), new Map());
    } catch (error) {
      if (stop.aborted) return;
      failed.value = error;
      key = '';
    }
  }

  const unfollow = effect(() => {
    const { by, target } = choice();
    if (route.value.params.view === 'graph' && target) untracked(() => load({ by, target }));
  });

  return {
    template() {
      if (!targets.length) return html`<p class="quiet">The two measurements have no target in common.</p>`;
      const { by, target } = choice();
      return html`
        <section class="graph" aria-label="Graph of the differences">
          <div class="graph-controls">
            ${choose('Fold by', 'by', Object.entries(FOLDS), by)}
            ${targets.length > 1 ? choose('Target', 'target', targets.map((each) => [each, each]), target) : nothing}
            ${paths.zoomButtons()}
          </div>
          <p class="quiet">What is marked has changed. Silence, other flows, and branches that were known
            before are no changes.</p>
          ${failed.value ? problem(failed.value, { again: () => load(choice()) }) : paths.template()}
        </section>
      `;
    },
    stop() {
      stopping.abort();
      paths.stop();
      unfollow();
    },
  };
}

function choose(words, name, choices, chosen) {
  return html`<label>${words}
    <select @change=${(event) => setParams({ [name]: event.target.value, node: undefined })}>
      ${choices.map(([value, label]) => html`<option value=${value} ?selected=${value === chosen}>${label}</option>`)}
    </select></label>`;
}
