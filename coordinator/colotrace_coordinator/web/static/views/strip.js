// The RTT of each reply as a dot on a line: spread, clusters and outliers at a look.
import { html, nothing, svg } from '../core/html.js';
import { count, figure, ms } from '../core/words.js';
import { baseOf } from '../model/replies.js';

const WIDTH = 220;
const HEIGHT = 18;
const MARGIN = 4;
const LIFTS = [0, -4, 4, -2, 2];
const TOLD = 12; // RTTs that the text alternative lists; of more, the range says more.

const x = (rtt, end) => (MARGIN + (Math.min(rtt / end, 1) * (WIDTH - 2 * MARGIN))).toFixed(1);

/**
 * @param {import('../model/measurement.js').Node} node
 * @param {number[] | undefined} rtts of its replies, ascending; undefined if they are not known
 * @param {ReturnType<typeof import('../model/replies.js').scaleOf>} scale
 */
export function strip(node, rtts, { plot, end, middle }) {
  const { min_rtt_ms: min, mean_rtt_ms: mean, max_rtt_ms: max } = node;
  if (mean === undefined) return nothing;
  const middleY = HEIGHT / 2;
  const base = baseOf(node, plot);
  const at = (rtt) => x(rtt - base, end);
  return html`
    <svg class="strip" viewBox="0 0 ${WIDTH} ${HEIGHT}" width=${WIDTH} height=${HEIGHT} role="img" aria-label=${inWords(node, rtts)}>
      ${[0, middle, end].map((tick) => svg`<line class="tick" x1=${x(tick, end)} x2=${x(tick, end)} y1="0" y2=${HEIGHT} />`)}
      <line class="range" x1=${at(min)} x2=${at(max)} y1=${middleY} y2=${middleY} />
      <line class="mean" x1=${at(mean)} x2=${at(mean)} y1="2" y2=${HEIGHT - 2} />
      ${(rtts ?? [min, max]).map((rtt, place) => svg`<circle class=${rtts ? '' : 'bound'} cx=${at(rtt)} cy=${rtts ? lifted(place) : middleY} r="2.5" />`)}
    </svg>
  `;
}

/** Equal RTTs are dots beside each other, not one dot. */
function lifted(place) {
  return HEIGHT / 2 + LIFTS[place % LIFTS.length];
}

function inWords({ min_rtt_ms: min, mean_rtt_ms: mean, max_rtt_ms: max }, rtts) {
  if (!rtts || rtts.length > TOLD)
    return `${rtts ? `${count(rtts.length, 'reply', 'replies')}: ` : ''}${ms(min)} to ${ms(max)}, mean ${ms(mean)}`;
  return `${count(rtts.length, 'reply', 'replies')}: ${rtts.map(figure).join(', ')} ms`;
}

/** The scale above the plots: its numbers stand where its ticks are. */
export function axis({ end, middle }) {
  const anchors = ['start', 'middle', 'end'];
  return html`
    <svg class="strip" viewBox="0 0 ${WIDTH} 12" width=${WIDTH} height="12" aria-hidden="true">
      ${[0, middle, end].map((tick, place) => svg`<text x=${x(tick, end)} y="10" text-anchor=${anchors[place]}>${tick.toLocaleString()}</text>`)}
    </svg>
  `;
}
