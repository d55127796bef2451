import { equal } from './assert.js';
import { joined, lines, short } from '../model/difference.js';

const change = (colo, rest = {}) => ({ target: 't', colo, answer: null, went: [], appeared: [], moved: [], rtt: null, loss: null, ...rest });
const hop = (ttl, ip) => ({ ttl, ip, name: '', asn: '' });

export function test_what_went_and_came_is_at_its_ttl() {
  const { columns, lines: [line] } = lines({ changes: [change('den01', { went: [hop(2, 'a')], appeared: [hop(2, 'b'), hop(4, 'c')] })] });
  equal(columns, 4);
  equal(line.cells.map((cell) => cell && [cell.went.length, cell.appeared.length]), [null, [1, 1], null, [0, 1]]);
}

export function test_what_has_moved_is_where_it_is_now() {
  const [{ cells }] = lines({ changes: [change('den01', { moved: [{ before_ttl: 3, after_ttl: 1, ip: 'a' }] })] }).lines;
  equal(cells.map((cell) => cell.moved.length), [1]);
}

export function test_largest_changes_come_first() {
  const rtt = (change_ms) => ({ rtt: { change_ms } });
  const found = lines({ changes: [change('a'), change('b', rtt(-20)), change('c', rtt(5)), change('d', { answer: 'unreached' })] });
  equal(found.lines.map(({ colo }) => colo), ['d', 'b', 'c', 'a']);
}

export function test_a_cluster_shows_its_rows_alone() {
  const changes = [change('a'), change('b')];
  equal(lines({ changes }, [{ target: 't', colo: 'b' }]).lines.map(({ colo }) => colo), ['b']);
  equal(lines({ changes: [] }).columns, 0);
}

export function test_short_names_are_labels_or_addresses() {
  equal([short({ name: 'edge1.example', ip: 'a' }), short({ name: '', ip: '192.0.2.1' }), short({ name: '192.0.2.1', ip: '192.0.2.1' })], [
    'edge1',
    '192.0.2.1',
    '192.0.2.1',
  ]);
}

const node = (id, kind, ip, rest = {}) => ({ id, kind, ip, name: '', asn: '', label: ip || '*', min_ttl: id, ...rest });

export function test_two_graphs_are_one_with_sides() {
  const before = {
    nodes: [node(0, 'colo', '', { name: 'den01' }), node(1, 'router', 'a'), node(2, 'target', 't')],
    edges: [{ from: 0, to: 1 }, { from: 1, to: 2 }],
    paths: [{ nodes: [[0], [1], [2]] }],
  };
  const after = {
    nodes: [node(0, 'colo', '', { name: 'den01' }), node(1, 'target', 't'), node(2, 'router', 'b')],
    edges: [{ from: 0, to: 2 }, { from: 2, to: 1 }, { from: 0, to: 1 }],
    paths: [{ nodes: [[0], [2], [1]] }],
  };
  const { nodes, edges, paths } = joined(before, after);
  equal(nodes.map(({ ip, side }) => `${ip || 'den01'} ${side}`), ['den01 both', 'a before', 't both', 'b after']);
  equal(edges.map(({ from, to, side }) => `${from}-${to} ${side}`), ['0-1 before', '1-2 before', '0-3 after', '3-2 after', '0-2 after']);
  equal(paths.map(({ nodes: steps }) => steps.flat()), [[0, 1, 2], [0, 3, 2]]);
}
