// Two measurements as one matrix of differences: a line a row that differs, a cell a TTL.

/**
 * @typedef {{went: any[], appeared: any[], moved: any[]}} Cell what differs at one TTL
 * @typedef {{target: string, colo: string, change: any, cells: (Cell | null)[]}} Line
 */

/**
 * The lines of a difference, those with the largest changes first.
 * @param {any} diff the API's answer
 * @param {{target: string, colo: string}[] | null} only the rows to show; null: all
 * @returns {{columns: number, lines: Line[]}} `columns`: the highest TTL at which anything differs
 */
export function lines(diff, only = null) {
  const wanted = only && new Set(only.map(named));
  const changes = diff.changes.filter((each) => !wanted || wanted.has(named(each)));
  const found = changes.map((change) => ({
    target: change.target,
    colo: change.colo,
    change,
    cells: cells(change),
  }));
  const weight = ({ change }) => (change.answer ? 1e6 : 0) + Math.abs(change.rtt?.change_ms ?? 0) + change.appeared.length;
  found.sort((a, b) => weight(b) - weight(a) || named(a).localeCompare(named(b)));
  return { columns: Math.max(0, ...found.map((each) => each.cells.length)), lines: found };
}

const named = ({ target, colo }) => `${target} ${colo}`;

function cells({ went, appeared, moved }) {
  const found = [];
  const at = (ttl) => (found[ttl - 1] ??= { went: [], appeared: [], moved: [] });
  for (const hop of went) at(hop.ttl).went.push(hop);
  for (const hop of appeared) at(hop.ttl).appeared.push(hop);
  for (const hop of moved) at(hop.after_ttl).moved.push(hop);
  return Array.from(found, (cell) => cell ?? null);
}

/** The short name of a hop: the first label of its name, or its address. */
export function short({ name, ip }) {
  return name && name !== ip ? name.split('.')[0] : ip;
}

/**
 * Two merged graphs as one: nodes and edges with the side that has them.
 * @param {any} before the API's graph of the first measurement
 * @param {any} after that of the second
 * @returns {any} a graph of the same shape; each node and edge has `side`: 'before', 'after' or 'both'
 */
export function joined(before, after) {
  const nodes = [];
  const ids = new Map();
  const places = [before, after].map((graph, side) => {
    const silent = new Map();
    return graph.nodes.map((node) => {
      const key = nodeKey(node, silent);
      if (!ids.has(key)) {
        ids.set(key, nodes.length);
        nodes.push({ ...node, id: nodes.length, side: ['before', 'after'][side] });
      } else if (side) {
        const known = nodes[ids.get(key)];
        nodes[known.id] = { ...node, id: known.id, side: known.side === 'after' ? 'after' : 'both', was_ms: known.added_ms, colos: union(known, node) };
      }
      return ids.get(key);
    });
  });
  const edges = new Map();
  [before, after].forEach((graph, side) => {
    for (const edge of graph.edges) {
      const [from, to] = [places[side][edge.from], places[side][edge.to]];
      const known = edges.get(`${from} ${to}`);
      const both = known && known.side !== ['before', 'after'][side];
      edges.set(`${from} ${to}`, { ...edge, from, to, side: both ? 'both' : ['before', 'after'][side], was_ms: known?.added_ms, colos: union(known, edge) });
    }
  });
  const paths = [before, after].flatMap((graph, side) =>
    graph.paths.map((path) => ({ ...path, nodes: path.nodes.map((step) => step.map((id) => places[side][id])) })),
  );
  return { ...after, nodes, edges: [...edges.values()], paths, fate: null };
}

/** What makes nodes of both graphs the same: the address, the AS or the name; silence by its place. */
function nodeKey({ kind, ip, name, asn, label, min_ttl }, silent) {
  const key = ip || asn || name ? `${kind} ${ip || asn || name}` : `${kind} ${label} ${min_ttl}`;
  if (ip || asn || name) return key;
  silent.set(key, (silent.get(key) ?? 0) + 1);
  return `${key} ${silent.get(key)}`;
}

/**
 * A joined graph with what the comparison says of it: `change` of nodes and edges is 'new', 'gone' or
 * '', and `added_ms` is by how much more they add than before. What one side alone has is no change
 * by itself: silence, another flow, or a branch that was known.
 * @param {any} graph of `joined`
 * @param {any[]} changes of the API's comparison
 */
export function withChanges(graph, changes) {
  const all = (name, of) => changes.flatMap((each) => each[name].map(of ?? ((asn) => asn)));
  const told = {
    before: new Set([...all('went', ({ ip }) => ip), ...all('left_asns')]),
    after: new Set([...all('appeared', ({ ip }) => ip), ...all('joined_asns')]),
  };
  const moved = changes.filter((each) => ['went', 'appeared', 'moved', 'left_asns', 'joined_asns'].some((name) => each[name].length));
  const colos = new Set(moved.map((each) => each.colo));
  const words = { before: 'gone', after: 'new' };
  const changed = (each, isTold) => ({
    ...each,
    change: isTold ? (words[each.side] ?? '') : '',
    added_ms: each.side === 'both' ? less(each.added_ms, each.was_ms) : null,
  });
  return {
    ...graph,
    compared: true,
    nodes: graph.nodes.map((each) => changed(each, told[each.side]?.has(each.ip || each.asn))),
    edges: graph.edges.map((each) => changed(each, each.colos.some((colo) => colos.has(colo)))),
  };
}

function union(before, { colos = [] }) {
  return [...new Set([...(before?.colos ?? []), ...colos])];
}

function less(after, before) {
  return typeof after === 'number' && typeof before === 'number' ? after - before : null;
}
