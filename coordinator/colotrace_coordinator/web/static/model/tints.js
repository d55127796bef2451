// What makes a cell of the matrix recognisable: a router's tint and short name, and the shade of a number.

const TINTS = 7; // `--tint-1` to `--tint-7`; 0 is for routers that one row alone has.
const LONGEST = 11; // Letters that fit into a cell.
const LEAST_TOP_MS = 10;
const LEVELS = 5;
const LOSS_LEVELS = [0.001, 0.1, 0.25, 0.5, 0.9];
/** Labels of host names that name an interface, not the router. */
const INTERFACE =
  /^(\d|(ae|be|et|eth|fe|ge|gi|hu|if|ip|irb|lo|po|port|reth|static|te|ve|vl|vlan|xe|bundle-ether|(fast|ten|hundred)?gig(e|abitethernet)|hundredgige|tengige)[-_]?\d)/i;

/**
 * Tints of routers that several rows of a column have. A router keeps its tint while rows come in.
 */
export class Tints {
  #chosen = new Map();

  /**
   * @param {import('./matrix.js').Matrix} matrix
   * @returns {Map<string, number>} the tint by address
   */
  of({ lines, columns }) {
    const counts = columns.map(() => new Map());
    for (const { cells, start } of lines)
      for (const [place, { ip }] of cells.entries()) {
        const column = counts[start + place];
        if (ip && column) column.set(ip, (column.get(ip) ?? 0) + 1);
      }
    const found = new Map();
    // From the target on, where most rows share a router.
    for (const column of counts.reverse()) {
      const shared = [...column].filter(([, count]) => count > 1).sort(([, one], [, other]) => other - one);
      const used = Array(TINTS).fill(0);
      for (const [ip] of shared) if (this.#chosen.has(ip)) used[this.#chosen.get(ip) - 1] += 1;
      for (const [ip] of shared) {
        if (!this.#chosen.has(ip)) this.#chosen.set(ip, least(used, this.#chosen.size));
        found.set(ip, this.#chosen.get(ip));
      }
    }
    return found;
  }
}

/** The tint that is least used in a column, from another one on for each router. */
function least(used, from) {
  let best = from % TINTS;
  for (let step = 1; step < TINTS; step += 1) {
    const tint = (from + step) % TINTS;
    if (used[tint] < used[best]) best = tint;
  }
  used[best] += 1;
  return best + 1;
}

/** A router's name in a few letters, or the end of its address. */
export function shortName(name, ip) {
  if (!name) return endOf(ip);
  const labels = name.split('.');
  const from = labels.findIndex((label, place) => place < labels.length - 2 && !INTERFACE.test(label));
  const first = labels[Math.max(from, 0)];
  const short = from >= 0 && first.length < 4 && labels.length - from > 3 ? `${first}.${labels[from + 1]}` : first;
  return short.length > LONGEST ? `${short.slice(0, LONGEST - 1)}…` : short;
}

function endOf(ip) {
  if (ip.length <= LONGEST) return ip;
  const mark = ip.includes(':') ? ':' : '.';
  const end = ip.slice(1 - LONGEST);
  return `…${end.slice(end.indexOf(mark))}`;
}

/**
 * The limits of five shades: steps of 1, 2 and 5, so that they seldom change while rows come in.
 * Differences below half a millisecond are never shaded.
 * @param {number} most the highest number of milliseconds that is shaded
 * @returns {number[]}
 */
export function limits(most) {
  const found = [];
  const top = Math.max(most, LEAST_TOP_MS);
  let step = 0;
  while (nice(step + 1) <= top) step += 1;
  for (let place = 0; place < LEVELS; place += 1) found.unshift(nice(step - place));
  return found;
}

function nice(step) {
  return [1, 2, 5][((step % 3) + 3) % 3] * 10 ** Math.floor(step / 3);
}

/** The shade, 0 to 5, of a number. */
export function level(value, steps) {
  let found = 0;
  while (found < steps.length && value >= steps[found]) found += 1;
  return found;
}

/** What the matrix can be shaded by. `of`: a cell's number, or null. */
export const SHADES = {
  added: { of: (cell) => cell.added ?? cell.rtt, limits },
  rtt: { of: (cell) => cell.rtt, limits },
  loss: { of: (cell) => (cell.sent ? cell.lost / cell.sent : null), limits: () => LOSS_LEVELS },
};

/** The limits for all cells of a matrix. */
export function limitsOf({ lines }, shade) {
  let most = 0;
  for (const { cells } of lines) for (const cell of cells) most = Math.max(most, SHADES[shade].of(cell) ?? 0);
  return SHADES[shade].limits(most);
}
