// What is drawn of the API's merged paths: colos and chains folded where there are many, branches of
// load balancers, added latency, and what shared fate found. No words and no places: these are made
// by views/graph_picture.js and worker/layout.js.
import { foldColos, foldHops, isSource } from './fold.js';

/** From these on, added latency has the next colour; see `heat`. */
export const HEATS_MS = [1, 5, 20, 50, 100];

/**
 * @typedef {{id: number, kind: 'colo' | 'city' | 'hop' | 'target' | 'as' | 'silent' | 'group' | 'chain' | 'branches',
 *   key: string, of: object[], sources: object[], heads: number, colos: string[], flows: number, ttls: [number, number],
 *   added: number | null, end: boolean, findings: number[], bad: Map<string, string[]>,
 *   change: string}} DrawnNode
 *   `key` names it in a URL. `of`: the API's nodes that are in it; `sources`: those where paths begin;
 *   `heads`: how many are side by side.
 *   `end`: silent to the end of a path. `findings`: places in `fate.findings`. `bad`: of its own
 *   colos, those with a condition. `change`: of a comparison, 'new' or 'gone', see `model/difference.js`.
 * @typedef {{id: number, from: number, to: number, colos: string[], flows: number, share: number,
 *   certain: boolean, balanced: boolean, added: number | null, findings: number[], change: string}} DrawnEdge
 *   `balanced`: packets of one colo to one target left `from` by several edges.
 * @typedef {{target: string, steps: number[][], colos: string[], flows: number, reached: boolean}} DrawnPath
 * @typedef {{nodes: DrawnNode[], edges: DrawnEdge[], paths: DrawnPath[], flows: number,
 *   compared?: boolean}} Drawing
 *   Nodes are in the order of their distance. `compared`: added latency is against an earlier one.
 */

/** The colour of added latency: from 0 (none, or unknown) to 5. */
export function heat(added) {
  return HEATS_MS.filter((each) => added >= each).length;
}

/**
 * @param {object} answer `result` of …/graph
 * @param {{apart?: boolean, open?: Set<string>}} [choices] `apart`: fold nothing. `open`: colos whose
 *   group is not folded
 * @returns {Drawing}
 */
export function drawing(answer, { apart = false, open = new Set() } = {}) {
  const marks = marked(answer);
  const ends = endsOf(answer);
  const of = answer.nodes.map((each) => each.id);
  const kinds = new Map();
  if (!apart) {
    foldColos(answer, { of, kinds, ends, open });
    foldHops(answer, { of, kinds, kept: new Set([...ends.keys(), ...marks.nodes.keys()]) });
  }
  const members = Map.groupBy(answer.nodes, (each) => of[each.id]);
  const order = [...members.keys()].sort((a, b) => a - b);
  const place = new Map(order.map((each, id) => [each, id]));
  const at = of.map((each) => place.get(each));
  const nodes = order.map((each, id) => node(id, members.get(each), { folded: kinds.get(each), ends, marks }));
  const edges = edgesOf(answer, { at, nodes, marks });
  const paths = answer.paths.map((each) => ({ ...each, steps: stepsOf(each, at) }));
  const { compared = false } = answer;
  if (!compared) markBalanced(paths, edges); // Paths of two measurements may differ for other reasons.
  const flows = answer.paths.reduce((sum, each) => sum + each.flows, answer.cut) / (compared ? 2 : 1);
  return { nodes, edges, paths, compared, flows };
}

/**
 * What paths through a node, or along an edge, pass: no way that no packet took.
 * @returns {{nodes: Set<number>, edges: Set<number>}}
 */
export function passedWith({ paths, edges }, isOn) {
  const byEnds = new Map(edges.map((each) => [`${each.from} ${each.to}`, each.id]));
  const found = { nodes: new Set(), edges: new Set() };
  for (const { steps } of paths.filter((each) => isOn(each.steps)))
    steps.forEach((step, number) => {
      for (const here of step) {
        found.nodes.add(here);
        for (const next of steps[number + 1] ?? []) found.edges.add(byEnds.get(`${here} ${next}`));
      }
    });
  return found;
}

/** The silent nodes at which paths end, with the targets. */
function endsOf({ paths, nodes }) {
  const lost = paths.filter((each) => !each.reached);
  const ends = lost.map((each) => [each.nodes.at(-1)[0], each.target]);
  return new Map(ends.filter(([id]) => nodes[id].kind === 'silent'));
}

function node(id, of, { folded, ends, marks }) {
  const [first] = of;
  const sources = of.filter(isSource);
  const heads = folded ? of.filter((each) => folded.heads.includes(each.id)) : of;
  const colos = [...new Set((sources.length ? sources : of).flatMap((each) => each.colos))].sort();
  const flows = heads.reduce((sum, each) => sum + each.flows, 0);
  const rises = of.filter((each) => typeof each.added_ms === 'number');
  return {
    id,
    kind: folded?.kind ?? first.kind,
    key: first.ip || first.asn || first.name || `silent ${first.id}`,
    of,
    sources,
    heads: heads.length,
    colos,
    flows,
    ttls: [Math.min(...of.map((each) => each.min_ttl)), Math.max(...of.map((each) => each.max_ttl))],
    added: rises.length && !sources.length ? rises.reduce((sum, each) => sum + (each.added_ms * each.flows) / flows, 0) : null,
    end: ends.has(first.id),
    change: common(of),
    findings: [...new Set(of.flatMap((each) => marks.nodes.get(each.id) ?? []))],
    bad: new Map(sources.length ? [...marks.bad].map(([name, all]) => [name, colos.filter((each) => all.has(each))]) : []),
  };
}

/** Findings by node and by edge, and the colos with each condition. */
function marked({ nodes, edges, fate }) {
  const byIp = new Map(nodes.map((each) => [each.ip, each.id]));
  const byAsn = Map.groupBy(nodes, (each) => each.asn);
  const ends = new Set(edges.map((each) => `${each.from} ${each.to}`));
  const found = { nodes: new Map(), edges: new Map(), bad: new Map() };
  const mark = (map, key, number) => map.set(key, [...new Set([...(map.get(key) ?? []), number])]);
  const placeOf = (ip, asn) => byIp.get(ip) ?? (asn && byAsn.get(asn)?.find((each) => each.kind === 'as')?.id);
  // What the sentence names: addresses; if there are none, links; else ASes.
  fate?.findings.forEach(({ shared }, number) => {
    const [{ what }] = shared;
    for (const { ips, asns, asn } of shared.filter((each) => each.what === what)) {
      const [near, far] = ips.map((ip, nth) => placeOf(ip, asns?.[nth]));
      if (what === 'as') for (const each of byAsn.get(asn) ?? []) each.kind !== 'target' && mark(found.nodes, each.id, number);
      else if (what === 'link' && near !== far) ends.has(`${near} ${far}`) && mark(found.edges, `${near} ${far}`, number);
      else if (near !== undefined) mark(found.nodes, near, number);
    }
  });
  for (const { condition, colos } of fate?.bad ?? [])
    found.bad.set(condition, new Set([...(found.bad.get(condition) ?? []), ...colos]));
  return found;
}

/** Edges between drawn nodes: each is one edge of the API's, or several if nodes are folded. */
function edgesOf(answer, { at, nodes, marks }) {
  const found = new Map();
  const leaving = nodes.map(() => new Map());
  for (const each of answer.edges) {
    const [from, to] = [at[each.from], at[each.to]];
    if (from === to) {
      if (nodes[from].kind !== 'group' && each.added_ms) nodes[from].added += (each.added_ms * each.flows) / nodes[from].flows;
      continue;
    }
    const key = `${from} ${to}`;
    if (!found.has(key)) found.set(key, { id: found.size, from, to, of: [] });
    found.get(key).of.push(each);
    leaving[from].set(each.from, each.flows / each.share);
  }
  const totals = leaving.map((each) => [...each.values()].reduce((sum, flows) => sum + flows, 0));
  const rises = risesFromGroups(answer, { at, nodes });
  return [...found.values()].map(({ of, ...edge }) => {
    const flows = of.reduce((sum, each) => sum + each.flows, 0);
    const rise = nodes[edge.from].kind === 'group' ? rises.get(`${edge.from} ${edge.to}`) : mean(of);
    return {
      ...edge,
      colos: [...new Set(of.flatMap((each) => each.colos))].sort(),
      flows,
      share: Math.min(flows / totals[edge.from], 1),
      certain: of.some((each) => each.certain),
      balanced: false,
      change: common(of),
      added: rise ?? null,
      findings: [...new Set(of.flatMap((each) => marks.edges.get(`${each.from} ${each.to}`) ?? []))],
    };
  });
}

/** The change that all have in common. */
function common(all) {
  const [{ change = '' }] = all;
  return all.every((each) => each.change === change) ? change : '';
}

function mean(edges) {
  const known = edges.filter((each) => typeof each.added_ms === 'number');
  const flows = known.reduce((sum, each) => sum + each.flows, 0);
  return known.length ? known.reduce((sum, each) => sum + each.added_ms * each.flows, 0) / flows : null;
}

/** The mean rise of the RTT from the colos of each group to where they leave it, by edge. */
function risesFromGroups({ paths, edges, nodes: all }, { at, nodes }) {
  const byEnds = new Map(edges.map((each) => [`${each.from} ${each.to}`, each.added_ms]));
  const sums = new Map();
  for (const { nodes: steps, flows } of paths) {
    const group = at[steps[0][0]];
    if (nodes[group].kind !== 'group') continue;
    let total = 0;
    for (let number = 1; number < steps.length; number += 1) {
      const [near, far] = [steps[number - 1][0], steps[number][0]];
      const added = byEnds.get(`${near} ${far}`);
      total += added ?? 0;
      if (at[far] === group) total += all[far].added_ms ?? 0;
      else {
        const key = `${group} ${at[far]}`;
        const [sum, count] = sums.get(key) ?? [0, 0];
        if (typeof added === 'number') sums.set(key, [sum + total * flows, count + flows]);
        break;
      }
    }
  }
  return new Map([...sums].map(([key, [sum, count]]) => [key, sum / count]));
}

/** The steps of a path in drawn nodes: what is folded into one node is one step. */
function stepsOf({ nodes }, at) {
  const steps = nodes.map((step) => [...new Set(step.map((each) => at[each]))]);
  return steps.filter((step, number) => !number || step.join() !== steps[number - 1].join());
}

/** Mark edges at which the flows of one colo to one target part. */
function markBalanced(paths, edges) {
  const byEnds = new Map(edges.map((each) => [`${each.from} ${each.to}`, each]));
  const seen = new Map();
  for (const { target, steps, colos } of paths) {
    const nexts = new Map();
    steps.slice(0, -1).forEach(([near], number) => nexts.set(near, [...(nexts.get(near) ?? []), ...steps[number + 1]]));
    for (const colo of colos)
      for (const [near, next] of nexts) {
        const key = `${near} ${colo} ${target}`;
        const before = seen.get(key);
        if (!before) seen.set(key, next);
        else if (before.join() !== next.join())
          for (const far of [...before, ...next]) {
            const edge = byEnds.get(`${near} ${far}`);
            if (edge) edge.balanced = true;
          }
      }
  }
}
