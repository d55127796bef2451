// Where the arrow keys lead in the graph.

const COLUMN = 50;

/**
 * The next node for a key, or null. Right and left follow the edge that most flows take; up and down
 * lead to the nodes of the same column; the others follow the order of distance.
 * @param {number} from
 * @param {string} key
 * @param {{nodes: object[], edges: {from: number, to: number, flows: number}[], places: {x: number, y: number}[]}} graph
 */
export function stepFrom(from, key, { nodes, edges, places }) {
  const most = (all, end) => all.sort((a, b) => b.flows - a.flows)[0]?.[end] ?? null;
  const beside = (sign) => {
    const { x, y } = places[from];
    const all = nodes.filter(({ id }) => Math.abs(places[id].x - x) < COLUMN && sign * (places[id].y - y) > 1);
    return all.sort((a, b) => sign * (places[a.id].y - places[b.id].y))[0]?.id ?? null;
  };
  const within = (number) => (number >= 0 && number < nodes.length ? number : null);
  switch (key) {
    case 'ArrowRight':
      return most(edges.filter((each) => each.from === from), 'to');
    case 'ArrowLeft':
      return most(edges.filter((each) => each.to === from), 'from');
    case 'ArrowDown':
      return beside(1);
    case 'ArrowUp':
      return beside(-1);
    case 'PageDown':
      return within(from + 1);
    case 'PageUp':
      return within(from - 1);
    case 'Home':
      return within(0);
    case 'End':
      return within(nodes.length - 1);
    default:
      return null;
  }
}
