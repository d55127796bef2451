// What is said around the picture of the paths: what bad rows share, what is not drawn, the legend.
import { html, nothing, svg } from '../core/html.js';
import { route } from '../core/route.js';
import { count, whole } from '../core/words.js';
import { HEATS_MS, heat } from '../model/graph.js';

const FINDINGS_SHOWN = 3;
const COLOS_SHOWN = 12;

/**
 * What shared fate found, each finding with the number that it has in the picture; and what is missing.
 * @param {object} answer `result` of …/graph
 * @param {(finding: number | undefined) => void} choose
 */
export function told({ fate, cut, without_paths: without, rows, targets }, choose) {
  const pressed = Number(route.value.params.finding) - 1;
  const button = ({ in_words: words, target }, number) => html`<li><button type="button" class="plain"
    aria-pressed=${number === pressed} @click=${() => choose(number === pressed ? undefined : number + 1)}>${targets.length > 1 ? `${target}: ` : ''}${words}</button></li>`;
  const found = (fate?.findings ?? []).map(button);
  const more = found.length - FINDINGS_SHOWN;
  return html`
    ${fate?.bad.map((each) => html`<p class="bad-rows">${each.in_words}</p>`)}
    ${found.length ? html`<ol class="findings">${found.slice(0, FINDINGS_SHOWN)}</ol>` : nothing}
    ${more > 0
      ? html`<details ?open=${pressed >= FINDINGS_SHOWN}><summary>${count(more, 'more finding')}</summary>
          <ol class="findings" start=${FINDINGS_SHOWN + 1}>${found.slice(FINDINGS_SHOWN)}</ol>
        </details>` : nothing}
    ${fate?.left_out ? html`<p class="quiet">${count(fate.left_out, 'weaker finding')} left out.</p>` : nothing}
    ${cut
      ? html`<p class="notice">The graph is cut: the paths of ${count(cut, 'flow')} are not in it.
          Choose one target, or fold by AS.</p>` : nothing}
    ${without.length
      ? html`<p class="notice">${count(without.length, 'colo has', 'colos have')} no path:
          ${without.slice(0, COLOS_SHOWN).join(', ')}${without.length > COLOS_SHOWN ? ' …' : ''}.</p>` : nothing}
    ${rows ? nothing : html`<p class="quiet">There are no paths to draw yet.</p>`}
  `;
}

/**
 * What the colours, widths, dashes and signs of the picture mean: of those that are in it.
 * @param {import('../model/graph.js').Drawing} drawn
 */
export function legend({ nodes, edges, compared }) {
  const hottest = Math.max(...[...nodes, ...edges].map((each) => heat(each.added)));
  const steps = ['', ...HEATS_MS].slice(0, hottest + 1);
  const has = (test) => nodes.some(test);
  const filled = has((each) => heat(each.added)); // Nodes have paler colours than edges.
  return html`
    <ul class="legend">
      ${compared ? html`<li>Added RTT, against before:</li>` : nothing}
      ${steps.length > 1
        ? steps.map((from, level) => html`<li>${sample(svg`<g class="edge heat-${level}"><path d="M2 8H26" stroke-width="4"></path></g>${filled
            ? svg`<g class="node heat-${level}"><rect x="8" y="2" width="12" height="12" rx="3"></rect></g>` : nothing}`)}
            ${range(from, HEATS_MS[level])}</li>`)
        : html`<li>no edge adds ${whole(HEATS_MS[0])} ms</li>`}
      <li>${sample(svg`<g class="edge"><path d="M2 5H26" stroke-width="1.5"></path><path d="M2 12H26" stroke-width="6"></path></g>`)} width: share of all flows</li>
      ${edges.some((each) => each.balanced) ? html`<li><span class="sign">33 %</span> load-balanced: share of the branch</li>` : nothing}
      ${edges.some((each) => !each.certain)
        ? html`<li>${sample(svg`<g class="edge unsure"><path d="M2 8H26" stroke-width="2"></path></g>`)} not certain</li>` : nothing}
      ${has((each) => each.change) || edges.some((each) => each.change)
        ? html`<li>${sample(svg`<g class="edge new"><path d="M2 8H26" stroke-width="3"></path></g>`)} new</li>
            <li>${sample(svg`<g class="edge gone"><path d="M2 8H26" stroke-width="3"></path></g>`)} gone</li>` : nothing}
      ${has((each) => each.kind === 'silent') ? html`<li>${sample(svg`<g class="node silent"><rect x="5" y="1" width="18" height="14" rx="4"></rect><text x="14" y="13" text-anchor="middle">∗</text></g>`)} no answer</li>` : nothing}
      ${has((each) => each.sources.length > 1 || each.heads > 1 || each.kind === 'chain')
        ? html`<li>${sample(svg`<g class="node"><rect x="8" y="4" width="16" height="11" rx="3"></rect><rect x="4" y="1" width="16" height="11" rx="3"></rect></g>`)} several folded</li>` : nothing}
      ${[...nodes, ...edges].some((each) => each.findings.length)
        ? html`<li>${sample(svg`<g class="node"><rect class="ring" x="2" y="1" width="24" height="14" rx="5"></rect></g>`)} shared by bad rows: the number of its finding</li>` : nothing}
    </ul>
  `;
}

function range(from, to) {
  if (!from) return `adds less than ${whole(to)} ms`;
  return to ? `+${whole(from)} to ${whole(to)} ms` : `+${whole(from)} ms or more`;
}

function sample(of) {
  return html`<svg class="paths" width="28" height="16" aria-hidden="true">${of}</svg>`;
}
