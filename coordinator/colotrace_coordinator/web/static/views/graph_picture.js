// The picture of the paths: boxes and lines as SVG, from what is drawn and where the worker put it.
import { guard, nothing, repeat, svg } from '../core/html.js';
import { heat } from '../model/graph.js';
import { edgeLabel, edgeWords, nodeWords } from './graph_words.js';

const WIDEST = 8;
const RING = 5;
const BADGE = 9;

/** Tells the width of a text in the page's own font. */
function ruler(font) {
  const context = document.createElement('canvas').getContext('2d');
  context.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  return (text) => context.measureText(text).width;
}

/**
 * Words and sizes of what is drawn, as the worker needs them.
 * @param {import('../model/graph.js').Drawing} drawn
 * @param {Map<string, string>} cities
 */
export function measured(drawn, cities) {
  const [large, small] = [ruler('600 13px'), ruler('600 11px')];
  const words = drawn.nodes.map((each) => nodeWords(each, cities));
  const labels = drawn.edges.map(edgeLabel);
  const boxes = drawn.nodes.map(({ id, kind, sources }, number) => {
    const { title, note } = words[number];
    const text = Math.max(large(title), small(note));
    const apart = drawn.nodes[number].findings.length ? RING + 3 : 0;
    const [width, height] = [Math.ceil(text) + (note ? 24 : 18), note ? 40 : 26];
    return { id, width: width + 2 * apart, height: height + 2 * apart, apart, source: sources.length > 0, target: kind === 'target' };
  });
  const lines = drawn.edges.map(({ id, from, to, flows }, number) => {
    const width = labels[number] || drawn.edges[number].findings.length ? small(labels[number]) + 12 : 0;
    return { id, from, to, width: Math.ceil(width), height: width ? 16 : 0, weight: 1 + Math.round((3 * flows) / drawn.flows) };
  });
  return { drawn, words, labels, boxes, lines };
}

/**
 * @param {ReturnType<typeof measured>} of
 * @param {object} places the worker's answer
 * @param {{current: number, selected: number}} state the node that Tab leads to, and the chosen one
 */
export function picture(of, places, { current, selected }) {
  const { drawn, words } = of;
  return guard([of, places, current, selected], () => svg`
    <g aria-hidden="true">
      ${repeat(drawn.edges, (each) => each.id, (each, number) => edge(each, of, places, number))}
    </g>
    <g role="listbox" aria-label="Nodes, in the order of their distance">
      ${repeat(drawn.nodes, (each) => each.id, (each, number) =>
        node(each, words[number], { ...of.boxes[number], ...places.boxes[number] }, { current, selected }))}
    </g>`);
}

function edge(each, { drawn, words, labels, boxes, lines }, places, number) {
  const line = places.lines[number];
  const [near, far] = [each.from, each.to].map((id) => ({ ...boxes[id], ...places.boxes[id] }));
  const level = heat(each.added);
  const width = 1.25 + (WIDEST - 1.25) * Math.min(each.flows / drawn.flows, 1);
  const label = labels[number];
  const found = each.findings.length;
  return svg`
    <g class="edge heat-${level} ${each.certain ? '' : 'unsure'} ${each.change}" data-edge=${each.id}>
      <title>${edgeWords(each, words[each.from].name, words[each.to].name)}</title>
      <path d=${curve(withRoom(line, lines[number].width), near, far)} stroke-width=${width.toFixed(2)}></path>
      ${far.x > near.x ? nothing : svg`<path class="back" d=${arrow(line.points)}></path>`}
      ${label ? svg`<text x=${line.x} y=${line.y - width / 2 - 4} text-anchor="middle">${label}</text>` : nothing}
      ${found ? badge(each.findings, line.x, line.y - width / 2 - (label ? 26 : 12)) : nothing}
    </g>`;
}

/** The points of a line that is level below its label. */
function withRoom({ points, x, y }, width) {
  const at = points.findIndex((each, number) => number && number < points.length - 1 && Math.abs(each.x - x) < 1);
  if (!width || at < 0) return points;
  return [...points.slice(0, at), { x: x - width / 2, y }, { x: x + width / 2, y }, ...points.slice(at + 1)];
}

/** The tip of a line that leads back: all others lead to the right. */
function arrow(points) {
  const [{ x: fromX, y: fromY }, { x, y }] = points.slice(-2);
  const length = Math.hypot(x - fromX, y - fromY) || 1;
  const [dx, dy] = [(9 * (x - fromX)) / length, (9 * (y - fromY)) / length];
  return `M${x - dx - dy / 1.6} ${y - dy + dx / 1.6}L${x} ${y}L${x - dx + dy / 1.6} ${y - dy - dx / 1.6}`;
}

/** A smooth line through the points, from the right side of one box to the left side of the next. */
function curve(points, near, far) {
  const all = [...points];
  if (far.x > near.x) {
    all[0] = { x: near.x + near.width / 2, y: near.y };
    all[all.length - 1] = { x: far.x - far.width / 2, y: far.y };
  }
  const round = (value) => Math.round(value * 10) / 10;
  return all
    .map(({ x, y }, number) => {
      if (!number) return `M${round(x)} ${round(y)}`;
      const before = all[number - 1];
      if (far.x <= near.x && number === all.length - 1) return `L${round(x)} ${round(y)}`; // For its tip.
      const middle = round((before.x + x) / 2);
      return `C${middle} ${round(before.y)} ${middle} ${round(y)} ${round(x)} ${round(y)}`;
    })
    .join('');
}

function node(each, { title, note, name }, { x, y, width: wide, height: high, apart }, { current, selected }) {
  const [width, height] = [wide - 2 * apart, high - 2 * apart];
  const [left, top] = [x - width / 2, y - height / 2];
  const round = each.kind === 'colo' || each.kind === 'city' || each.kind === 'group' ? height / 2 : 5;
  const found = each.findings.length;
  const bad = [...each.bad.values()].some((all) => all.length);
  const told = [name, note, found && `shared by bad rows: finding ${each.findings.map((number) => number + 1).join(', ')}`];
  return svg`
    <g class="node ${each.kind} heat-${heat(each.added)} ${each.end ? 'end' : ''} ${bad ? 'bad' : ''} ${each.change}" data-node=${each.id}
      role="option" tabindex=${each.id === current ? 0 : -1} aria-selected=${each.id === selected}
      aria-label=${told.filter(Boolean).join(', ')}>
      <title>${name}</title>
      ${each.sources.length > 1 || each.heads > 1 || each.kind === 'chain'
        ? svg`<rect x=${left + 4} y=${top + 4} width=${width} height=${height} rx=${round}></rect>` : nothing}
      ${found ? svg`<rect class="ring" x=${left - RING} y=${top - RING} width=${width + 2 * RING} height=${height + 2 * RING} rx=${round + RING}></rect>` : nothing}
      <rect x=${left} y=${top} width=${width} height=${height} rx=${round}></rect>
      <text x=${x} y=${note ? y - 2 : y + 4.5} text-anchor="middle">${title}</text>
      ${note ? svg`<text class="note" x=${x} y=${y + 13} text-anchor="middle">${note}</text>` : nothing}
      ${found ? badge(each.findings, left + width, top - RING) : nothing}
    </g>`;
}

/** The numbers of findings, as a sign at the ring. */
function badge(findings, x, y) {
  const text = findings.length > 2 ? `${findings[0] + 1}…` : findings.map((each) => each + 1).join(',');
  const width = Math.max(2 * BADGE, 8 * text.length + 8);
  return svg`
    <g class="badge">
      <rect x=${x - width / 2} y=${y - BADGE} width=${width} height=${2 * BADGE} rx=${BADGE}></rect>
      <text x=${x} y=${y + 4} text-anchor="middle">${text}</text>
    </g>`;
}

const KEPT = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-linecap', 'font-family', 'font-size', 'font-weight', 'text-anchor', 'paint-order'];

/** What XML cannot have, even escaped (XML 1.0, section 2.2): a browser would show none of the picture. */
const NO_XML = /[^\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

/**
 * A picture that needs no page: the elements with the colours and fonts that they have now.
 * @param {SVGSVGElement} shown
 * @param {string} title
 */
export function standalone(shown, title) {
  const copy = shown.cloneNode(true);
  const { width, height } = shown.viewBox.baseVal;
  copy.removeAttribute('class');
  const rules = new Map();
  // Placed where the page's sheets apply, without what is lit or selected.
  for (const each of copy.querySelectorAll('.on')) each.classList.remove('on');
  copy.setAttribute('class', 'paths');
  shown.parentNode.append(copy);
  for (const each of copy.querySelectorAll('rect, path, text')) {
    const style = getComputedStyle(each);
    const rule = KEPT.map((name) => `${name}:${style.getPropertyValue(name)}`).join(';');
    if (!rules.has(rule)) rules.set(rule, `s${rules.size}`);
    each.dataset.rule = rules.get(rule);
  }
  const paper = getComputedStyle(document.body).backgroundColor;
  copy.remove();
  for (const each of copy.querySelectorAll('*')) {
    const { rule } = each.dataset;
    for (const name of ['class', 'tabindex', 'role', 'aria-selected', 'aria-label', 'aria-hidden', 'data-node', 'data-edge', 'data-rule']) each.removeAttribute(name);
    if (rule) each.setAttribute('class', rule);
  }
  for (const walker = document.createTreeWalker(copy, NodeFilter.SHOW_COMMENT); walker.nextNode(); ) walker.currentNode.data = '';
  const style = document.createElementNS(copy.namespaceURI, 'style');
  style.textContent = [...rules].map(([rule, name]) => `.${name}{${rule}}`).join('\n');
  const ground = document.createElementNS(copy.namespaceURI, 'rect');
  for (const [name, value] of Object.entries({ width, height, fill: paper })) ground.setAttribute(name, value);
  const words = document.createElementNS(copy.namespaceURI, 'title');
  words.textContent = title;
  copy.prepend(words, style, ground);
  for (const name of ['class', 'role', 'aria-label']) copy.removeAttribute(name);
  copy.setAttribute('width', width);
  copy.setAttribute('height', height);
  return new XMLSerializer().serializeToString(copy).replaceAll('<!---->', '').replace(NO_XML, '\ufffd');
}
