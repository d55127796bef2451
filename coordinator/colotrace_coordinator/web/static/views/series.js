// One row over time as a picture: RTT as a line, and below it the path as a strip of colours.
import { html, nothing, svg } from '../core/html.js';
import { go, href } from '../core/route.js';
import { date, figure, ms, percent } from '../core/words.js';

const WIDTH = 320;
const LEFT = 34;
const LINE_TOP = 6;
const LINE_HEIGHT = 60;
const STRIP_TOP = LINE_TOP + LINE_HEIGHT + 14;
const STEP = 5;

/**
 * @param {import('../model/series.js').Moment[]} moments oldest first
 * @param {{most: number, name: string}} scale `most`: RTT in ms at the top
 */
export function picture(moments, { most, name }) {
  const deepest = Math.max(1, ...moments.map(({ steps }) => steps.length));
  const width = (WIDTH - LEFT) / moments.length;
  const x = (number) => LEFT + width * (number + 0.5);
  const y = (rtt) => LINE_TOP + LINE_HEIGHT * (1 - rtt / most);
  const bottom = STRIP_TOP + STEP * deepest + 12;
  const points = moments.map(({ rtt }, number) => rtt && `${x(number).toFixed(1)},${y(rtt.mean).toFixed(1)}`);
  return html`
    <svg class="series" viewBox="0 0 ${WIDTH} ${bottom + 4}" role="group"
      aria-label="${name} over time; the table below says the same">
      <line class="axis" x1=${LEFT} x2=${WIDTH} y1=${LINE_TOP + LINE_HEIGHT} y2=${LINE_TOP + LINE_HEIGHT} />
      <text x=${LEFT - 4} y=${LINE_TOP + 8} text-anchor="end">${figure(most)}</text>
      <text x=${LEFT - 4} y=${LINE_TOP + LINE_HEIGHT} text-anchor="end">0 ms</text>
      <text x=${LEFT - 4} y=${STRIP_TOP + 8} text-anchor="end">path</text>
      <text x=${LEFT} y=${bottom}>${date(moments[0].at)}</text>
      ${moments.length > 1 ? svg`<text x=${WIDTH} y=${bottom} text-anchor="end">${date(moments.at(-1).at)}</text>` : nothing}
      ${runs(points).map((run) => svg`<polyline class="line" points=${run} />`)}
      ${moments.map((moment, number) => column(moment, moments[number - 1], { x: x(number), y, width, deepest }))}
    </svg>
  `;
}

/** The points in runs without a gap: a moment without an answer breaks the line. */
function runs(points) {
  return points
    .map((point) => point ?? '|')
    .join(' ')
    .split('|')
    .map((run) => run.trim())
    .filter(Boolean);
}

function column(moment, before, { x, y, width, deepest }) {
  const { rtt, steps, changed } = moment;
  const body = svg`
    <title>${said(moment)}${before ? '. Click to compare with the moment before.' : ''}</title>
    <rect class="hit" x=${x - width / 2} y="0" width=${width} height=${STRIP_TOP + STEP * deepest} />
    ${rtt
      ? svg`<line class="range" x1=${x} x2=${x} y1=${y(rtt.min)} y2=${y(rtt.max)} /><circle class="dot" cx=${x} cy=${y(rtt.mean)} r="1.8" />`
      : svg`<path class="unreached" d="M${x - 3} ${LINE_TOP + LINE_HEIGHT - 6}h6l-3 5z" />`}
    ${changed ? svg`<path class="changed" d="M${x - width / 2 - 3} ${STRIP_TOP - 6}h6l-3 5z" />` : nothing}
    ${steps.map(({ tint }, hop) => svg`<rect class=${tint < 0 ? 'silent' : `tint-${tint}`} x=${x - width / 2 + 0.3}
      y=${STRIP_TOP + hop * STEP} width=${Math.max(width - 0.6, 0.5)} height=${STEP} />`)}
  `;
  if (!before) return svg`<g>${body}</g>`;
  const open = () => go(href('compare', { ids: [before.id, moment.id] }));
  return svg`<g class="moment" role="link" tabindex="0" aria-label=${said(moment)} @click=${open}
    @keydown=${(event) => event.key === 'Enter' && open()}>${body}</g>`;
}

/** A moment in words. */
export function said({ at, rtt, loss, error, changed }) {
  const parts = [date(at), error || (rtt ? ms(rtt.mean) : 'target did not answer')];
  if (loss) parts.push(`${percent(loss)} loss`);
  if (changed) parts.push('path changed');
  return parts.join(', ');
}
