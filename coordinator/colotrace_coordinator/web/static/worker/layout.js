// Places nodes and edges, from left to right, away from the page's own thread.
import { Graph, layout } from '../vendor/dagre/dagre.js';

const ROOT = 'root';
const SINK = 'sink';
const MARGIN = 24; // Room for rings and their signs.
/** Above so many nodes, the ranks are good rather than best. */
const MANY = 250;

/**
 * @typedef {{id: number, width: number, height: number, source: boolean, target: boolean}} Box
 * @typedef {{id: number, from: number, to: number, width: number, height: number, weight: number}} Line
 *   `width` and `height` are those of its label.
 * @param {{boxes: Box[], lines: Line[]}} picture
 * @returns {{boxes: {x: number, y: number}[], lines: {points: {x: number, y: number}[], x: number,
 *   y: number}[], width: number, height: number, ms: number}} centres, in the order given
 */
export function placed({ boxes, lines }) {
  const began = performance.now();
  const graph = new Graph();
  graph.setGraph({
    rankdir: 'LR', nodesep: 14, edgesep: 8, ranksep: 34, marginy: MARGIN,
    ranker: boxes.length > MANY ? 'tight-tree' : 'network-simplex',
  });
  // All sources are at the left and all targets at the right: lines that are not drawn pull them there.
  graph.setNode(ROOT, { width: 0, height: 0 });
  graph.setNode(SINK, { width: 0, height: 0 });
  for (const { id, width, height, source, target } of boxes) {
    graph.setNode(`${id}`, { width, height });
    if (source) graph.setEdge(ROOT, `${id}`, { width: 0, height: 0, weight: 100, minlen: 1 });
    if (target) graph.setEdge(`${id}`, SINK, { width: 0, height: 0, weight: 100, minlen: 1 });
  }
  for (const { from, to, width, height, weight } of lines)
    graph.setEdge(`${from}`, `${to}`, { width, height, weight, minlen: 1, labelpos: 'c' });
  // A target that was not reached is where the paths end.
  const [lead, led] = [new Set(lines.map((each) => each.from)), new Set(lines.map((each) => each.to))];
  const ends = boxes.filter((each) => !each.target && !lead.has(each.id));
  for (const { id } of boxes.filter((each) => each.target && !led.has(each.id)))
    for (const end of ends) graph.setEdge(`${end.id}`, `${id}`, { width: 0, height: 0, weight: 1, minlen: 1 });
  layout(graph);
  const found = boxes.map(({ id }) => graph.node(`${id}`));
  const left = Math.min(...found.map((each) => each.x - each.width / 2)) - MARGIN;
  const right = Math.max(...found.map((each) => each.x + each.width / 2)) + MARGIN;
  const moved = ({ x, y }) => ({ x: x - left, y });
  return {
    boxes: found.map(moved),
    lines: lines.map(({ from, to }) => {
      const line = graph.edge(`${from}`, `${to}`);
      return { points: line.points.map(moved), ...moved(line) };
    }),
    width: right - left,
    height: graph.graph().height,
    ms: performance.now() - began,
  };
}

// Tests import the function; the page starts the file as a worker.
if (typeof WorkerGlobalScope !== 'undefined')
  addEventListener('message', ({ data }) => postMessage({ serial: data.serial, ...placed(data) }));
