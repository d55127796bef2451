// Moving about in the picture of the paths: what is lit, zoom, dragging, and keys.
import { route, setParams } from '../core/route.js';
import { passedWith } from '../model/graph.js';

const READABLE = 0.8;
const LEAST = 0.1;
const MOST = 3;
const COLUMN = 50;
const HEIGHT = 0.7; // Of the window, as the style sheet has it.
export const ZOOM = 1.25;

/** The picture's frame, if it is shown. */
export const frame = () => document.querySelector('.paths-frame');

/** After what has changed is shown. */
export const later = (call) => requestAnimationFrame(() => setTimeout(call));

/**
 * @param {{shown: {value: {of: object, places: object} | null}, scale: {value: number},
 *   current: {value: number}}} of signals: what is shown, its scale (0: as it is at first), and the
 *   node that Tab leads to
 */
export function moving({ shown, scale, current }) {
  let hovered = null;

  /** Show what paths pass through the node under the pointer, else the focus, the chosen node or finding. */
  function light() {
    const drawn = shown.value?.of.drawn;
    const svg = frame()?.querySelector('svg');
    if (!drawn || !svg) return;
    const focused = svg.querySelector('[data-node]:focus-visible')?.dataset.node;
    const chosen = selected()?.id;
    const finding = Number(route.value.params.finding) - 1;
    let lit = null;
    const node = hovered ?? focused ?? chosen;
    if (node !== undefined && node !== null) lit = passedWith(drawn, (steps) => steps.some((step) => step.includes(Number(node))));
    else if (finding >= 0) lit = ofFinding(drawn, finding);
    svg.classList.toggle('dim', lit !== null);
    for (const each of svg.querySelectorAll('[data-node]')) each.classList.toggle('on', !!lit?.nodes.has(Number(each.dataset.node)));
    for (const each of svg.querySelectorAll('[data-edge]')) each.classList.toggle('on', !!lit?.edges.has(Number(each.dataset.edge)));
  }

  function selected() {
    return shown.value?.of.drawn.nodes.find((each) => each.key === route.value.params.node) ?? null;
  }

  /** Light what is chosen, and have it in the frame; at first the colos, at the height of the target. */
  function reveal() {
    const { of, places } = shown.value;
    const node = selected() ?? of.drawn.nodes.find((each) => each.kind === 'target');
    if (node && places && frame()) {
      const { x, y } = places.boxes[node.id];
      const [box, size] = [frame(), scale.value || readable(places)];
      box.scrollTo(selected() ? x * size - box.clientWidth / 2 : 0, y * size - box.clientHeight / 2);
    }
    light();
  }

  function select(number) {
    const node = shown.value.of.drawn.nodes[number];
    setParams({ node: node && node.key !== route.value.params.node ? node.key : undefined });
    later(() => {
      light();
      // The details make the frame narrower.
      frame()?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    });
  }

  function onKey(event) {
    const number = event.target.closest('[data-node]')?.dataset.node;
    if (number === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const { of, places } = shown.value;
    hovered = null;
    if (event.key === 'Enter' || event.key === ' ') select(Number(number));
    else if (event.key === 'Escape') select(-1);
    else if (event.key === '+' || event.key === '=') zoom(ZOOM);
    else if (event.key === '-') zoom(1 / ZOOM);
    else if (event.key === '0') fit();
    else {
      const next = stepFrom(Number(number), event.key, { ...of.drawn, places: places.boxes });
      if (next === null) return;
      current.value = next;
      const element = frame().querySelector(`[data-node="${next}"]`);
      element.focus();
      element.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    event.preventDefault();
  }

  const nodeAt = (event) => event.target.closest?.('[data-node]')?.dataset.node ?? null;

  function onHover(event) {
    const over = nodeAt(event);
    if (over === hovered) return;
    hovered = event.type === 'pointerleave' ? null : over;
    light();
  }

  let dragged = false;
  function onDown(event) {
    dragged = false;
    if (event.pointerType !== 'mouse' || event.button) return; // A finger scrolls by itself.
    const box = frame();
    const [x, y, left, top] = [event.clientX, event.clientY, box.scrollLeft, box.scrollTop];
    const move = (moved) => {
      if (Math.hypot(moved.clientX - x, moved.clientY - y) > 4) dragged = true;
      if (dragged) box.scrollTo(left - moved.clientX + x, top - moved.clientY + y);
    };
    const end = new AbortController();
    addEventListener('pointermove', move, { signal: end.signal });
    for (const name of ['pointerup', 'pointercancel']) addEventListener(name, () => end.abort(), { signal: end.signal });
  }

  function onClick(event) {
    const over = nodeAt(event);
    if (dragged || over === null) return;
    current.value = Number(over);
    select(Number(over));
  }

  /** The scale at first: the whole width, as far as it can be read. */
  function readable({ width }) {
    return Math.min(1, Math.max((frame()?.clientWidth ?? innerWidth) / width, READABLE));
  }

  /** Show all of it. */
  function fit() {
    const { width, height } = shown.value.places;
    scale.value = Math.min(1, frame().clientWidth / width, (HEIGHT * innerHeight) / height);
  }

  function zoom(factor, at) {
    const box = frame();
    const { places } = shown.value;
    const before = scale.value || readable(places);
    const after = Math.min(Math.max(before * factor, LEAST), MOST);
    const { left, top } = box.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - left, at.clientY - top] : [box.clientWidth / 2, box.clientHeight / 2];
    const [middleX, middleY] = [(box.scrollLeft + x) / before, (box.scrollTop + y) / before];
    scale.value = after;
    later(() => box.scrollTo(middleX * after - x, middleY * after - y));
  }

  // A listener that may cancel the event: wheel with ctrl would zoom the whole page.
  const wheel = {
    handleEvent(event) {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? ZOOM : 1 / ZOOM, event);
    },
    passive: false,
  };

  return { light, reveal, selected, select, fit, zoom, readable, wheel, onKey, onHover, onDown, onClick };
}

/** What the paths pass on which a finding is. */
function ofFinding(drawn, number) {
  const nodes = new Set(drawn.nodes.filter((each) => each.findings.includes(number)).map((each) => each.id));
  const ends = new Set(drawn.edges.filter((each) => each.findings.includes(number)).map((each) => `${each.from} ${each.to}`));
  return passedWith(drawn, (steps) =>
    steps.some((step, place) => step.some((each) => nodes.has(each) || steps[place + 1]?.some((next) => ends.has(`${each} ${next}`)))));
}

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
