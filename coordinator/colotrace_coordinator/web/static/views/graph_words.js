// What the picture of the paths, its table and its details say of nodes and edges.
import { count, ms, percent, whole } from '../core/words.js';
import { heat } from '../model/graph.js';

const LONGEST = 26;
const SOME = 6;
const LEAST_MS = 0.005;

/** What a comparison says of a node or an edge. */
export const CHANGES = { new: 'new', gone: 'gone' };

/** A text without its middle, if it is long: the ends of host names say most. */
function short(text) {
  return text.length <= LONGEST ? text : `${text.slice(0, 14)}…${text.slice(-11)}`;
}

/** Added latency with its sign; empty if it is not known. */
export function added(value) {
  if (typeof value !== 'number') return '';
  return Math.abs(value) < LEAST_MS ? `+${whole(0)} ms` : `${value > 0 ? '+' : ''}${ms(value)}`;
}

function listed(names, most) {
  return `${names.slice(0, most).join(', ')}${names.length > most ? ' …' : ''}`;
}

function some(nodes) {
  return listed(nodes.map((each) => each.label), SOME);
}

/** "7 slow", or "slow" of one colo. */
function badWords({ bad, colos }) {
  return [...bad]
    .filter(([, all]) => all.length)
    .map(([condition, all]) => (colos.length > 1 ? `${all.length} ${condition}` : condition))
    .join(', ');
}

/**
 * The two lines of a node's box, and its name in full.
 * @param {import('../model/graph.js').DrawnNode} node
 * @param {Map<string, string>} cities by colo
 * @returns {{title: string, note: string, name: string}}
 */
export function nodeWords(node, cities) {
  const { kind, of, colos, heads } = node;
  const [first] = of;
  const bad = [badWords(node), CHANGES[node.change]].filter(Boolean).join(' · ');
  const named = (title, note = '', name = title) => ({ title: short(title), note: [bad, note].filter(Boolean).join(' · '), name });
  switch (kind) {
    case 'colo':
      return named(first.name, short(cities.get(first.name) ?? ''));
    case 'city':
      return named(first.name, count(colos.length, 'colo'));
    case 'group': {
      const [city, other] = new Set(colos.map((each) => cities.get(each)));
      const [title, two] = [count(colos.length, 'colo'), listed(colos, 2)];
      return named(title, other || !city ? two : short(city), `${title}: ${listed(colos, SOME)}`);
    }
    case 'as': {
      const rise = heat(node.added) ? ` · ${added(node.added)}` : '';
      return named(first.asn, `${count(first.addresses, 'address', 'addresses')}${rise}`);
    }
    case 'target':
      return named(first.targets[0] ?? first.label, node.flows ? first.asn : 'not reached', first.targets.join(', '));
    case 'silent':
      if (!node.end) return named('∗', '', `no answer at ${hopWords(node)}`);
      return named('∗ no answer', 'to the end', `no answer from ${hopWords(node)} to the end`);
    case 'chain':
      return named(`${of.length} hops`, heat(node.added) ? added(node.added) : `from ${short(first.label)}`, `${of.length} hops: ${some(of)}`);
    case 'branches':
      return named(count(heads, 'branch', 'branches'), `${rise(node)}${count(of.length, 'hop')}`, `${heads} branches: ${some(of)}`);
    default:
      return named(first.label, first.asn || 'no AS known');
  }
}

function rise(node) {
  return heat(node.added) ? `${added(node.added)} · ` : '';
}

/** Where on the paths: "hop 4", "hop 4–6". */
export function hopWords({ ttls: [first, last] }) {
  return last ? `hop ${first === last ? first : `${first}–${last}`}` : 'the start';
}

/** The text on an edge: the share of a balanced branch, and the latency that it adds. */
export function edgeLabel(edge) {
  return [CHANGES[edge.change], edge.balanced && percent(edge.share), heat(Math.abs(edge.added)) && added(edge.added)].filter(Boolean).join(' ');
}

/** An edge in a sentence. */
export function edgeWords(edge, near, far) {
  return [
    `${near} to ${far}`,
    CHANGES[edge.change],
    `${count(edge.flows, 'flow')} of ${count(edge.colos.length, 'colo')}`,
    edge.balanced && `load-balanced: ${percent(edge.share)} of what leaves ${near}`,
    added(edge.added) && `${added(edge.added)} RTT`,
    !edge.certain && 'not certain: one flow met several addresses here',
  ]
    .filter(Boolean)
    .join('; ');
}
