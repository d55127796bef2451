// The same paths as a table, and the details of one node.
import { html, nothing } from '../core/html.js';
import { count, ms, percent, whole } from '../core/words.js';
import { CHANGES, added, hopWords } from './graph_words.js';

const SHOWN_COLOS = 40;

/**
 * @param {{drawn: import('../model/graph.js').Drawing, words: {name: string}[]}} of
 */
export function graphTable({ drawn: { nodes, edges }, words }) {
  const after = Map.groupBy(edges, (each) => each.from);
  return html`
    <div class="wide" tabindex="0" role="region" aria-label="The paths as a table">
      <table>
        <caption class="unseen">The paths: each node, and where packets went on</caption>
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">Hop</th>
            <th scope="col">AS</th>
            <th scope="col" class="number">Colos</th>
            <th scope="col" class="number">Flows</th>
            <th scope="col">Finding</th>
            <th scope="col">Goes on to: share of its flows, added RTT</th>
          </tr>
        </thead>
        <tbody>
          ${nodes.map((node) => html`
            <tr>
              <th scope="row">${words[node.id].name}${node.change ? ` (${CHANGES[node.change]})` : ''}</th>
              <td>${node.ttls[1] ? hopWords(node).slice(4) : '–'}</td>
              <td>${asns(node)}</td>
              <td class="number">${whole(node.colos.length)}</td>
              <td class="number">${whole(node.flows)}</td>
              <td>${node.findings.map((each) => each + 1).join(', ')}</td>
              <td>${(after.get(node.id) ?? []).map((edge) => html`<div>${words[edge.to].name}: ${edgeFacts(edge)}</div>`)}</td>
            </tr>`)}
        </tbody>
      </table>
    </div>
  `;
}

function edgeFacts(edge) {
  const found = edge.findings.length ? `finding ${edge.findings.map((each) => each + 1).join(', ')}` : '';
  const facts = [CHANGES[edge.change], `${percent(edge.share)}${edge.balanced ? ', load-balanced' : ''}`, added(edge.added), edge.certain ? '' : 'not certain', found];
  return facts.filter(Boolean).join(', ');
}

function asns({ of }) {
  return [...new Set(of.map((each) => each.asn).filter(Boolean))].join(', ');
}

/**
 * What is known of the chosen node.
 * @param {import('../model/graph.js').DrawnNode} node
 * @param {{words: {title: string, name: string}, compared?: boolean, link: (colo: string) => string, close: () => void,
 *   open?: () => void}} of
 */
export function details(node, { words, compared, link, close, open }) {
  const { of, colos } = node;
  const [first] = of;
  const sent = of.reduce((sum, each) => sum + each.packets_sent, 0);
  const lost = of.reduce((sum, each) => sum + each.packets_lost, 0);
  const single = of.length === 1;
  const facts = [
    ['Address', single && first.ip],
    ['Name', single && first.ip && first.name],
    ['AS', asns(node)],
    ['Addresses', single && first.kind === 'as' && whole(first.addresses)],
    ['Distance', hopWords(node)],
    ['RTT', single && first.packet_count > 0 && `${ms(first.min_rtt_ms)} to ${ms(first.max_rtt_ms)}, mean ${ms(first.mean_rtt_ms)}, over all its colos`],
    [compared ? 'Rise within, against before' : 'Rise within', node.added && `${added(node.added)}${single && colos.length > 1 ? ', the median of its colos' : ''}`],
    ['No answer', sent > 0 && `${whole(lost)} of ${count(sent, 'packet')}`],
    ['Flows', node.flows > 0 && whole(node.flows)],
  ];
  const hops = single ? [] : of.filter((each) => !node.sources.includes(each));
  return html`
    <aside class="graph-details" aria-label="Details of ${words.name}">
      <button type="button" class="plain close" @click=${close} aria-label="Close the details">✕</button>
      <h2>${words.title}</h2>
      <dl>${facts.map(([name, value]) => (value ? html`<dt>${name}</dt><dd>${value}</dd>` : nothing))}</dl>
      ${hops.length
        ? html`<p>Has in it: ${listed(hops.map((each) => each.label), (each) => each)}</p>` : nothing}
      <p>${node.sources.length ? 'Begins at' : 'Passed by'} ${count(colos.length, 'colo')}:
        ${listed(colos, (colo) => html`<a href=${link(colo)}>${colo}</a>`)}</p>
      ${node.kind === 'group' && open ? html`<button type="button" @click=${open}>Draw these colos apart</button>` : nothing}
    </aside>
  `;
}

function listed(all, shown) {
  const some = all.slice(0, SHOWN_COLOS).map((each, number) => html`${number ? ', ' : ''}${shown(each)}`);
  return html`${some}${all.length > SHOWN_COLOS ? ` and ${whole(all.length - SHOWN_COLOS)} more` : ''}`;
}
