// Which nodes are drawn as one, so that the paths of 300 colos can be read: colos that meet the
// others at the same places, with what only they pass; chains; and branches that meet again.

/** Up to so many sources, each is drawn by itself. */
export const MOST_SOURCES = 16;
/** Groups with other ways are joined until so few are left. */
const MOST_GROUPS = 20;
/** Up to so many nodes, no chains and branches are folded. */
const MOST_NODES = 70;
const EXACT_ROUNDS = 4;
const ROUNDS = 8;

/** @typedef {{kind: 'group' | 'chain' | 'branches', heads: number[]}} Folded `heads`: its first nodes. */

/** Whether paths begin at a node of the API's. */
export function isSource(node) {
  return node.kind === 'colo' || node.kind === 'city';
}

/**
 * Fold colos, if they are many, into groups that meet others at the same nodes, with what only one of
 * them passes. While groups are many, they are joined again by where they meet others further on.
 * @param {{nodes: object[], edges: object[]}} answer
 * @param {{of: number[], kinds: Map<number, Folded>, ends: Map<number, string>, open: Set<string>}} folded
 *   `of`: by node, the node that stands for it; changed here, as `kinds` is. `ends`: the silent nodes
 *   at which paths end, with their targets
 */
export function foldColos({ nodes, edges }, { of, kinds, ends, open }) {
  let groups = nodes.filter(isSource).map((each) => [each]);
  if (groups.length <= MOST_SOURCES) return;
  let owners;
  for (let more = true; more; ) {
    owners = ownersOf(nodes, edges, groups);
    const shared = sharedOf(groups, { owners, edges, ends });
    let joined = join(groups, (number) => [...shared[number].keys()].sort().join());
    if (joined.length === groups.length && groups.length > MOST_GROUPS) joined = join(groups, (number) => mainOf(shared[number]));
    more = joined.length < groups.length && joined.length > MOST_GROUPS;
    const place = new Map(joined.flatMap((each, number) => each.map((old) => [old, number])));
    owners = owners.map((each) => place.get(groups[each]) ?? -1);
    groups = joined.map((each) => each.flat());
  }
  const closed = groups.map((each) => each.length > 1 && !each.some(({ name }) => open.has(name)));
  const silent = new Map();
  for (const { id } of nodes) {
    const group = owners[id];
    if (group < 0 || !closed[group]) continue;
    if (ends.has(id)) {
      // One node for each target: there would be one for each of the hops before it.
      const target = ends.get(id);
      if (!silent.has(target)) silent.set(target, id);
      of[id] = silent.get(target);
    } else {
      of[id] = groups[group][0].id;
      kinds.set(of[id], { kind: 'group', heads: groups[group].map((each) => each.id) });
    }
  }
}

/**
 * By node, the number of the group that alone passes it and all nodes before it, or -1. A target is
 * nobody's.
 */
function ownersOf(nodes, edges, groups) {
  const groupOf = new Map(groups.flatMap((each, number) => each.flatMap(({ colos }) => colos.map((colo) => [colo, number]))));
  const only = nodes.map(({ kind, colos }) => {
    const first = groupOf.get(colos[0]) ?? -1;
    return kind !== 'target' && colos.every((each) => groupOf.get(each) === first) ? first : -1;
  });
  const after = Map.groupBy(edges, (each) => each.from);
  const owners = nodes.map(() => -1);
  const queue = groups.flat().map((each) => each.id);
  for (const id of queue) {
    if (owners[id] >= 0) continue;
    owners[id] = only[id];
    for (const { to } of after.get(id) ?? []) if (only[to] >= 0 && only[to] === only[id]) queue.push(to);
  }
  return owners;
}

/** By group, the nodes where it meets others, with the flows; and the targets that it lost. */
function sharedOf(groups, { owners, edges, ends }) {
  const found = groups.map(() => new Map());
  for (const { from, to, flows } of edges) {
    const group = owners[from];
    if (group < 0 || (owners[to] === group && !ends.has(to))) continue;
    const key = owners[to] === group ? `${ends.get(to)}` : to;
    found[group].set(key, (found[group].get(key) ?? 0) + flows);
  }
  return found;
}

function mainOf(shared) {
  return [...shared].sort(([, a], [, b]) => b - a)[0]?.[0];
}

function join(groups, keyOf) {
  return [...Map.groupBy(groups, (_, number) => keyOf(number)).values()];
}

/**
 * If there are many nodes, fold hops that follow each other without a branch, then branches between
 * the same nodes, and so on. Silence stays apart from answers, except within a chain.
 * @param {{nodes: object[], edges: object[]}} answer
 * @param {{of: number[], kinds: Map<number, Folded>, kept: Set<number>}} folded `kept`: never folded
 */
export function foldHops({ nodes, edges }, { of, kinds, kept }) {
  for (let round = 0; round < ROUNDS && new Set(of).size > MOST_NODES; round += 1) {
    const { before, after } = neighbours(edges, of);
    const free = [...new Set(of)].filter(
      (id) => !kept.has(id) && kinds.get(id)?.kind !== 'group' && !isSource(nodes[id]) && nodes[id].kind !== 'target' &&
        before.has(id) && after.has(id),
    );
    const into = round % 2 ? branches(free, { before, after, nodes, exact: round < EXACT_ROUNDS }) : chains(free, { before, after });
    for (const [id, [first, side]] of into) {
      const heads = [...(kinds.get(first)?.heads ?? [first]), ...(side ? (kinds.get(id)?.heads ?? [id]) : [])];
      kinds.set(first, { kind: heads.length > 1 ? 'branches' : 'chain', heads });
    }
    of.forEach((each, id) => {
      of[id] = into.get(each)?.[0] ?? each;
    });
    if (!into.size && round % 2 && round > EXACT_ROUNDS) return;
  }
}

/** By node, the nodes before and after it, with the flows. */
function neighbours(edges, of) {
  const found = { before: new Map(), after: new Map() };
  const add = (map, key, other, flows) => {
    const others = map.get(key) ?? map.set(key, new Map()).get(key);
    others.set(other, (others.get(other) ?? 0) + flows);
  };
  for (const { from, to, flows } of edges) {
    if (of[from] === of[to]) continue;
    add(found.after, of[from], of[to], flows);
    add(found.before, of[to], of[from], flows);
  }
  return found;
}

/** By node, the first of the chain that it is in. */
function chains(free, { before, after }) {
  const single = new Set(free.filter((id) => before.get(id).size === 1 && after.get(id).size === 1));
  const into = new Map();
  for (const id of single) {
    if (single.has(before.get(id).keys().next().value)) continue; // Not the first.
    for (let [[next]] = after.get(id); single.has(next) && next !== id; [[next]] = after.get(next)) into.set(next, [id, false]);
  }
  return into;
}

/** By node, the first of the branches that part and meet where it does; if not `exact`, mostly. */
function branches(free, { before, after, nodes, exact }) {
  const ends = (map, id) => (exact ? [...map.get(id).keys()].sort().join() : mainOf(map.get(id)));
  const key = (id) => `${nodes[id].kind === 'silent'} ${ends(before, id)} ${ends(after, id)}`;
  const into = new Map();
  for (const [first, ...others] of Map.groupBy(free, key).values()) for (const id of others) into.set(id, [first, true]);
  return into;
}
