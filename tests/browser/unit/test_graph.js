import { assert, equal } from './assert.js';
import { joined, withChanges } from '../model/difference.js';
import { drawing, heat, passedWith } from '../model/graph.js';
import { placed } from '../worker/layout.js';
import { stepFrom } from '../views/graph_moving.js';
import { standalone } from '../views/graph_picture.js';
import { nodeWords } from '../views/graph_words.js';

/**
 * An answer of the API's, from paths as texts: the colo, then letters; `*` is silence, `T` the target;
 * `=5` sets by how much the RTT rises to the hop.
 */
function answer(paths, fate = null) {
  const nodes = new Map();
  const edges = new Map();
  const ways = paths.map((text) => {
    const words = text.split(' ');
    const colo = words[0];
    const reached = words.at(-1).startsWith('T');
    const steps = words.map((word, ttl) => {
      const [name] = word.split('=');
      const silent = name === '*';
      const key = silent ? words.slice(0, ttl + 2).join() : name;
      if (!nodes.has(key)) {
        const kind = !ttl ? 'colo' : silent ? 'silent' : name === 'T' ? 'target' : 'hop';
        nodes.set(key, {
          kind, label: name, ip: ttl && !silent ? name : '', name: ttl ? '' : name, asn: '', targets: name === 'T' ? ['x'] : [],
          addresses: 1, colos: [], flows: 0, min_ttl: ttl, max_ttl: ttl, packet_count: 0, packets_sent: 0, packets_lost: 0, added_ms: null,
        });
      }
      const node = nodes.get(key);
      node.flows += 1;
      if (!node.colos.includes(colo)) node.colos.push(colo);
      return key;
    });
    steps.slice(1).forEach((to, number) => {
      const key = `${steps[number]}>${to}`;
      if (!edges.has(key)) edges.set(key, { from: steps[number], to, colos: [], flows: 0, certain: true, added_ms: null });
      const edge = edges.get(key);
      edge.flows += 1;
      if (!edge.colos.includes(colo)) edge.colos.push(colo);
      const [, rise] = words[number + 1].split('=');
      if (rise) edge.added_ms = Number(rise);
    });
    return { target: 'x', steps, colos: [colo], flows: 1, reached };
  });
  const order = [...nodes.keys()].sort((a, b) => nodes.get(a).min_ttl - nodes.get(b).min_ttl);
  const id = new Map(order.map((key, number) => [key, number]));
  const leaving = (from) => [...edges.values()].filter((each) => each.from === from).reduce((sum, each) => sum + each.flows, 0);
  return {
    by: 'address',
    targets: ['x'],
    rows: paths.length,
    without_paths: [],
    cut: 0,
    fate,
    nodes: order.map((key, number) => ({ ...nodes.get(key), id: number })),
    edges: [...edges.values()].map((each) => ({ ...each, share: each.flows / leaving(each.from), from: id.get(each.from), to: id.get(each.to) })),
    paths: ways.map(({ steps, ...way }) => ({ ...way, nodes: steps.map((key) => [id.get(key)]) })),
  };
}

const label = ({ kind, of, colos }) => (kind === 'group' ? `${colos.length} colos` : kind === 'chain' || kind === 'branches' ? kind : of[0].label);

function edgesOf(drawn) {
  return drawn.edges.map(({ from, to }) => `${label(drawn.nodes[from])} ${label(drawn.nodes[to])}`).sort();
}

/** Colos a, b, c …, of which each has a hop of its own, then one of some carriers. */
function fleet(size, carriers, end = 'T') {
  return Array.from({ length: size }, (_, number) => `c${number} own${number}=1 carrier${number % carriers}=2 far=4 ${end}=8`);
}

export function test_few_colos_are_drawn_each() {
  const drawn = drawing(answer(['den a c T', 'sin b c T']));
  equal(edgesOf(drawn), ['a c', 'b c', 'c T', 'den a', 'sin b']);
  equal(drawn.flows, 2);
}

export function test_many_colos_are_folded_by_where_they_meet_others() {
  const drawn = drawing(answer(fleet(60, 3)));
  equal(edgesOf(drawn), ['20 colos carrier0', '20 colos carrier1', '20 colos carrier2', 'carrier0 far', 'carrier1 far', 'carrier2 far', 'far T']);
  const [group] = drawn.nodes;
  equal([group.kind, group.flows, group.sources.length, group.of.length], ['group', 20, 20, 40]);
}

export function test_edge_of_a_group_has_the_rise_from_the_colos_on() {
  const drawn = drawing(answer(fleet(60, 3)));
  const edge = drawn.edges.find((each) => each.from === 0);
  equal([edge.added, edge.flows, edge.share], [3, 20, 1]);
}

export function test_group_that_is_opened_is_drawn_apart() {
  const drawn = drawing(answer(fleet(60, 3)), { open: new Set(['c1']) });
  equal(drawn.nodes.filter((each) => each.kind === 'colo').length, 20);
  equal(drawn.nodes.filter((each) => each.kind === 'group').length, 2);
}

export function test_colos_apart_are_all_drawn() {
  equal(drawing(answer(fleet(60, 3)), { apart: true }).nodes.length, 60 + 60 + 3 + 2);
}

export function test_silence_to_the_end_of_a_group_is_one_node() {
  const paths = Array.from({ length: 40 }, (_, number) => `c${number} own${number} *`);
  const drawn = drawing(answer([...paths, 'd e T']));
  equal(edgesOf(drawn), ['40 colos *', 'd e', 'e T']);
  assert(drawn.nodes.find((each) => each.kind === 'silent').end);
}

export function test_what_one_colo_passes_after_others_is_not_folded_into_it() {
  const drawn = drawing(answer(Array.from({ length: 20 }, (_, number) => `c${number} near own${number} far T`)));
  equal(drawn.nodes.length, 1 + 1 + 20 + 1 + 1);
  equal(drawn.edges.filter((each) => drawn.nodes[each.to].sources.length), []);
}

export function test_fleet_of_300_is_a_picture_that_can_be_read() {
  for (const carriers of [1, 7, 50, 150]) {
    const drawn = drawing(answer(fleet(300, carriers)));
    assert(drawn.nodes.length <= 75, `${drawn.nodes.length} nodes with ${carriers} carriers`);
    equal(drawn.nodes.filter((each) => each.sources.length).reduce((sum, each) => sum + each.colos.length, 0), 300);
  }
}

export function test_paths_stay_those_that_packets_took() {
  const drawn = drawing(answer(fleet(60, 3)));
  for (const { steps } of drawn.paths)
    for (let number = 1; number < steps.length; number += 1)
      assert(drawn.edges.some((each) => each.from === steps[number - 1][0] && each.to === steps[number][0]));
}

export function test_only_ways_that_packets_took_are_lit() {
  const drawn = drawing(answer(['den a c d T', 'sin b c e T']));
  const at = (name) => drawn.nodes.find((each) => label(each) === name).id;
  const lit = passedWith(drawn, (steps) => steps.some((step) => step.includes(at('a'))));
  equal([...lit.nodes].map((each) => label(drawn.nodes[each])), ['den', 'a', 'c', 'd', 'T']);
  equal(lit.edges.size, 4);
}

export function test_branches_of_one_colo_are_balanced() {
  const drawn = drawing(answer(['den a b d T', 'den a c d T', 'sin e d T']));
  equal(drawn.edges.filter((each) => each.balanced).map((each) => label(drawn.nodes[each.to])), ['b', 'c']);
  equal(drawn.edges.find((each) => each.balanced).share, 0.5);
}

export function test_colos_that_part_are_not_balanced() {
  const drawn = drawing(answer(['den a b T', 'sin a c T']));
  equal(drawn.edges.some((each) => each.balanced), false);
}

export function test_node_passed_twice_by_one_path_is_not_balanced() {
  const drawn = drawing(answer(['den a b a c T', 'den a b a c T']));
  equal(drawn.edges.some((each) => each.balanced), false);
}

export function test_findings_mark_what_their_sentence_names() {
  const node = { what: 'node', ips: ['c'], asn: '', asns: [''] };
  const link = { what: 'link', ips: ['c', 'd'], asn: '', asns: ['', ''] };
  const fate = (shared) => ({ bad: [{ condition: 'slow', colos: ['den'] }], findings: [{ shared }], left_out: 0 });
  const marks = ({ nodes, edges }) => [nodes.filter((each) => each.findings.length).map(label), edges.filter((each) => each.findings.length).length];
  const paths = ['den a c d T', 'sin b c d T'];
  equal(marks(drawing(answer(paths, fate([node, link])))), [['c'], 0]);
  equal(marks(drawing(answer(paths, fate([link])))), [[], 1]);
  const drawn = drawing(answer(paths, fate([node])));
  equal(drawn.nodes[0].bad, new Map([['slow', ['den']]]));
  equal(drawn.nodes[1].bad, new Map([['slow', []]]));
}

export function test_address_of_a_finding_is_marked_on_its_as() {
  const of = answer(['den a b T', 'sin a b T'], {
    bad: [], findings: [{ shared: [{ what: 'node', ips: ['192.0.2.1'], asn: 'AS1', asns: ['AS1'] }] }], left_out: 0,
  });
  Object.assign(of.nodes.find((each) => each.label === 'a'), { kind: 'as', asn: 'AS1', ip: '' });
  equal(drawing(of).nodes.filter((each) => each.findings.length).length, 1);
}

export function test_long_chains_of_many_nodes_are_folded() {
  const long = (name) => Array.from({ length: 40 }, (_, number) => `${name}${number}=1`).join(' ');
  const drawn = drawing(answer([`den ${long('a')} T`, `sin ${long('b')} T`]));
  equal(edgesOf(drawn), ['chain T', 'chain T', 'den chain', 'sin chain']);
  equal(drawn.nodes.filter((each) => each.kind === 'chain').map((each) => [each.of.length, each.added, each.flows]), [[40, 39, 1], [40, 39, 1]]);
}

export function test_many_branches_between_two_nodes_are_folded() {
  const drawn = drawing(answer(Array.from({ length: 90 }, (_, number) => `den a b${number}=5 c d T`)));
  equal(edgesOf(drawn), ['a branches', 'branches c', 'c d', 'd T', 'den a']);
  const branches = drawn.nodes.find((each) => each.kind === 'branches');
  equal([branches.heads, branches.flows], [90, 90]);
  equal(drawn.edges.find((each) => each.to === branches.id).added, 5);
  equal(drawn.edges.find((each) => each.to === branches.id).share, 1);
}

export function test_eight_nodes_at_a_hop_are_drawn_each() {
  const drawn = drawing(answer(Array.from({ length: 8 }, (_, number) => `den a b${number} c T`)));
  equal(drawn.nodes.length, 12);
  equal(drawn.edges.filter((each) => each.balanced).length, 8);
}

export function test_heat_grows_with_added_latency() {
  equal([null, -3, 0.9, 1, 19, 20, 99, 1_000].map(heat), [0, 0, 0, 1, 2, 3, 4, 5]);
}

export function test_colos_are_at_the_left_and_targets_at_the_right() {
  const drawn = drawing(answer(['den a b c d T', 'sin c d T', 'far *']));
  const found = placed({
    boxes: drawn.nodes.map(({ id, kind, sources }) => ({ id, width: 80, height: 40, source: sources.length > 0, target: kind === 'target' })),
    lines: drawn.edges.map(({ id, from, to }) => ({ id, from, to, width: 0, height: 0, weight: 1 })),
  });
  const x = (test) => drawn.nodes.filter(test).map((each) => found.boxes[each.id].x);
  const left = x((each) => each.sources.length);
  equal(new Set(left).size, 1);
  assert(x((each) => !each.sources.length).every((each) => each > left[0]));
  assert(x((each) => each.kind !== 'target').every((each) => each < x((other) => other.kind === 'target')[0]));
  assert(found.lines.every((each) => each.points.length > 1));
}

export function test_keys_follow_the_widest_edge_and_the_column() {
  const nodes = [0, 1, 2, 3].map((id) => ({ id }));
  const places = [{ x: 0, y: 0 }, { x: 100, y: -30 }, { x: 100, y: 30 }, { x: 200, y: 0 }];
  const edges = [[0, 1, 1], [0, 2, 5], [1, 3, 1], [2, 3, 5]].map(([from, to, flows]) => ({ from, to, flows }));
  const step = (from, key) => stepFrom(from, key, { nodes, edges, places });
  equal([step(0, 'ArrowRight'), step(3, 'ArrowLeft'), step(2, 'ArrowUp'), step(1, 'ArrowDown')], [2, 2, 1, 2]);
  equal([step(0, 'ArrowLeft'), step(3, 'ArrowRight'), step(1, 'ArrowUp'), step(0, 'PageUp')], [null, null, null, null]);
  equal([step(1, 'PageDown'), step(2, 'PageUp'), step(2, 'Home'), step(0, 'End'), step(0, 'x')], [2, 1, 0, 3, null]);
}

export function test_words_of_nodes_name_what_is_folded() {
  const cities = new Map(Array.from({ length: 60 }, (_, number) => [`c${number}`, number % 3 ? 'Frankfurt, DE' : 'Denver, CO, US']));
  const fate = { bad: [{ condition: 'slow', colos: ['c0', 'c3', 'c1'] }], findings: [], left_out: 0 };
  const drawn = drawing(answer(fleet(60, 3), fate));
  const [denver, other] = drawn.nodes.map((each) => nodeWords(each, cities));
  equal(denver, { title: '20 colos', note: '2 slow · Denver, CO, US', name: '20 colos: c0, c12, c15, c18, c21, c24 …' });
  equal(other.note, '1 slow · Frankfurt, DE');
}

export function test_long_host_names_keep_their_ends() {
  const drawn = drawing(answer(['den xe-0-1-2.edge17.frankfurt3.carrier.example T']));
  const hop = nodeWords(drawn.nodes[1], new Map());
  equal(hop.title, 'xe-0-1-2.edge1…ier.example');
  equal(hop.name, 'xe-0-1-2.edge17.frankfurt3.carrier.example');
}

export function test_target_that_nobody_reached_is_drawn_and_says_so() {
  const of = answer(['den a *', 'sin a *', 'x a T']);
  of.paths.pop();
  of.edges = of.edges.filter((each) => of.nodes[each.to].kind !== 'target');
  Object.assign(of.nodes.find((each) => each.kind === 'target'), { flows: 0, colos: [] });
  const drawn = drawing(of);
  const target = drawn.nodes.find((each) => each.kind === 'target');
  equal(nodeWords(target, new Map()).note, 'not reached');
  equal(drawn.nodes.filter((each) => each.end).length, 2);
}

const unchanged = { went: [], appeared: [], moved: [], left_asns: [], joined_asns: [] };

function compared(before, after, changes) {
  const of = joined(answer(before), answer(after));
  return drawing(withChanges(of, changes.map((each) => ({ ...unchanged, ...each }))));
}

const changesOf = (drawn) => [
  drawn.nodes.filter((each) => each.change).map((each) => `${label(each)} ${each.change}`),
  drawn.edges.filter((each) => each.change).map(({ from, to, change }) => `${label(drawn.nodes[from])} ${label(drawn.nodes[to])} ${change}`).sort(),
];

export function test_difference_marks_what_the_comparison_tells() {
  const change = { target: 'x', colo: 'den', went: [{ ip: 'b' }], appeared: [{ ip: 'c' }] };
  const drawn = compared(['den a b T'], ['den a c T'], [change]);
  equal(changesOf(drawn), [['b gone', 'c new'], ['a b gone', 'a c new', 'b T gone', 'c T new']]);
}

export function test_another_branch_is_no_difference_if_the_comparison_tells_none() {
  const drawn = compared(['den a b T'], ['den a c T'], []);
  equal(changesOf(drawn), [[], []]);
  equal(drawn.edges.some((each) => each.balanced), false);
}

export function test_difference_has_by_how_much_more_an_edge_adds() {
  const drawn = compared(['den a=1 T=5'], ['den a=1 T=35'], []);
  equal(drawn.edges.map((each) => each.added), [0, 30]);
}

export function test_colos_of_either_side_are_those_of_a_node() {
  const drawn = compared(['den a b T', 'sin a b T'], ['den a c T', 'sin d b T'], []);
  equal(drawn.nodes.find((each) => label(each) === 'a').colos, ['den', 'sin']);
}

export function test_saved_picture_is_xml_whatever_its_names_are() {
  const names = '<b>&"a\x00b\x1b[31m\ud800]]>\u202e\uffff\u{1f600}';
  document.body.innerHTML = '<div><svg viewBox="0 0 9 9"><text></text></svg></div>';
  document.querySelector('text').textContent = names;
  const found = new DOMParser().parseFromString(standalone(document.querySelector('svg'), names), 'image/svg+xml');
  document.body.replaceChildren();
  equal(found.querySelector('parsererror')?.textContent, undefined);
  equal(found.querySelector('text').textContent, '<b>&"a\ufffdb\ufffd[31m\ufffd]]>\u202e\ufffd\u{1f600}');
}
