// The rows of a target: their list, or one row with its hops, nodes, labels and replies.
import { html, nothing, repeat, signal } from '../core/html.js';
import { ask } from '../core/http.js';
import { choiceOf, href, route, setParams } from '../core/route.js';
import { count, figure, lasted, percent } from '../core/words.js';
import { matrixOf, sorted } from '../model/matrix.js';
import { PLOTS, byNode, nodesOf, scaleOf } from '../model/replies.js';
import { sortHead } from './sort_head.js';
import { axis, strip } from './strip.js';

/** The rows of a measurement. `template(target)` shows a target by its index. */
export function rowsView(id, measurement) {
  const stopping = new AbortController();
  const replies = signal(new Map());
  let opened = '';

  return { template, stop: () => stopping.abort() };

  function template(target) {
    const { colo } = route.value.params;
    const rows = measurement.of(target);
    const place = rows.findIndex(({ name }) => name === colo);
    if (colo && place < 0) return html`<p class="problem">No colo of this measurement is called ${colo}. ${all('All rows')}</p>`;
    if (colo) return one(rows, place);
    opened = '';
    return list(rows);
  }

  /** The replies of a row that has ended; without them, its statistics are shown. */
  async function load(key, target, colo) {
    if (replies.peek().has(key)) return;
    replies.peek().set(key, undefined);
    try {
      const query = new URLSearchParams({ target, colo, replies: true, per_page: 1 });
      const { result } = await ask(`/${id}/rows?${query}`, { signal: stopping.signal });
      const [found] = result;
      const list = found?.measurement.id === id && (found.replies ?? found.row.replies);
      if (list) replies.value = new Map(replies.peek()).set(key, byNode(list));
    } catch {
      // The plots then show the range and the mean, which the row has.
    }
  }

  function one(rows, place) {
    const row = rows[place];
    const target = measurement.summary.targets[row.target];
    const key = `${row.target}/${row.colo}`;
    const { hop, plot: wanted } = route.value.params;
    const plot = choiceOf(PLOTS, wanted, 'rtt');
    if (row.done) load(key, target, row.name);
    attend(`${key}/${hop}`);
    return html`
      <div class="row-head">
        <h2 tabindex="-1">${row.name} <span class="quiet">${row.city}</span> → ${target}</h2>
        <p class="actions">
          ${step(rows[place - 1], 'Previous colo', (name) => `← ${name}`)} ${step(rows[place + 1], 'Next colo', (name) => `${name} →`)} ${all('All rows')}
          <a href=${href('pair', { ids: [id], params: { target, colo: row.name } })}>Over time</a>
        </p>
      </div>
      <p>${inWords(row)}</p>
      ${notes(row)}
      ${row.hops.length ? [plots(plot), hops(row, replies.value.get(key), plot, Number(hop))] : nothing}
      ${row.links.length ? links(row) : nothing}
    `;
  }

  function notes(row) {
    const told = measurement.remarks(row);
    if (row.error && !told.length) return html`<p class="problem">${row.error}</p>`;
    return told.map((words) => html`<p class=${row.error ? 'problem' : 'notice'}>${words}</p>`);
  }

  function all(words) {
    return html`<a href=${to({ colo: undefined, hop: undefined })}>${words}</a>`;
  }

  /** A row that is opened has the focus, and the hop that its link names is in view. */
  function attend(key) {
    if (opened === key) return;
    opened = key;
    requestAnimationFrame(() => {
      document.querySelector('.row-head h2')?.focus({ preventScroll: true });
      document.querySelector('.hops .chosen')?.scrollIntoView({ block: 'nearest' });
    });
  }

  function list(rows) {
    const sort = route.value.params.sort ?? 'name';
    return html`
      <div class="wide" role="region" aria-label="Rows" tabindex="0">
        <table class="rows">
          <thead><tr>
            ${sortHead('name', 'Colo', sort)}<th scope="col">City</th><th scope="col" class="number">Answers</th>
            ${sortHead('loss', 'Loss', sort, 'number')}${sortHead('hops', 'Hops', sort, 'number')}
            <th scope="col" class="number">RTT min</th>${sortHead('latency', 'mean', sort, 'number')}
            <th scope="col" class="number">max</th><th scope="col" class="number">SD, ms</th><th scope="col">Notes</th>
          </tr></thead>
          <tbody>${repeat(sorted(matrixOf(rows).lines, sort), ({ row }) => row.name, ({ row }) => line(row))}</tbody>
        </table>
      </div>
    `;
  }

  function line(row) {
    const { summary, hops, error } = row;
    const told = measurement.remarks(row);
    const last = hops.at(-1);
    const part = summary?.packet_count && last?.packets_sent ? last.packets_lost / last.packets_sent : null;
    return html`
      <tr class=${row.done ? '' : 'running'}>
        <th scope="row"><a href=${to({ colo: row.name })}>${row.name}</a></th>
        <td>${row.city}</td>
        <td class="number">${summary?.packet_count ?? ''}</td>
        <td class="number ${part ? 'bad' : ''}">${part === null ? '' : percent(part)}</td>
        <td class="number">${hops.length || ''}</td>
        ${times(summary ?? {})}
        <td class=${error ? 'bad' : ''}>${row.done ? (told.join('; ') || error || (summary.packet_count ? '' : 'no answer from the target')) : 'running'}</td>
      </tr>
    `;
  }
}

function to(changes) {
  const { view, ids, params } = route.value;
  return href(view, { ids, params: { ...params, view: 'rows', ...changes } });
}

function step(row, words, shown) {
  return row ? html`<a href=${to({ colo: row.name, hop: undefined })} title=${words}>${shown(row.name)}</a>` : nothing;
}

function inWords({ done, ms, summary, hops, links }) {
  const ends = done ? `Took ${lasted(ms)}` : 'Still running';
  const { ip, name, packet_count: answers } = summary ?? {};
  const target = answers ? `${name === ip || !name ? ip : `${name} (${ip})`} gave ${count(answers, 'answer')}` : `${ip ? `${ip} has` : 'the target has'} not answered`;
  const flows = links.length ? ', several flows' : '';
  const last = hops.findLastIndex(({ nodes }) => nodes.some(({ packet_count: count }) => count)) + 1;
  const silence = done && last < hops.length ? `, no answer ${last ? `after hop ${last}` : 'at all'}` : '';
  return `${ends}; ${count(hops.length, 'hop')}${silence}${flows}; ${target}.`;
}

function plots(chosen) {
  return html`
    <div class="choices"><label>Plots show
      <select @change=${(event) => setParams({ plot: event.target.value })}>
        ${Object.entries(PLOTS).map(([value, words]) => html`<option value=${value} ?selected=${value === chosen}>${words}</option>`)}
      </select></label></div>
  `;
}

function hops(row, replies, plot, chosen) {
  const scale = scaleOf(row.hops, plot);
  return html`
    <div class="wide" role="region" aria-label="Hops" tabindex="0">
      <table class="hops">
        <thead><tr>
          <th scope="col" class="number">Hop</th><th scope="col" class="number">Sent</th><th scope="col" class="number">Loss</th>
          <th scope="col">Node</th><th scope="col">AS</th><th scope="col" class="number">Answers</th>
          <th scope="col">${plot === 'spread' ? 'Above the fastest' : replies ? 'RTT of each reply' : 'RTT: range and mean'}, ms${axis(scale)}</th>
          <th scope="col" class="number">Min</th><th scope="col" class="number">Mean</th>
          <th scope="col" class="number">Max</th><th scope="col" class="number">SD, ms</th>
        </tr></thead>
        ${nodesOf(row).map((each) => hopTemplate(each, replies, scale, chosen))}
      </table>
    </div>
  `;
}

function hopTemplate({ hop, nodes }, replies, scale, chosen) {
  const { packets_ttl: ttl, packets_sent: sent, packets_lost: lost } = hop;
  const span = Math.max(nodes.length, 1);
  const head = html`
    <th scope="rowgroup" class="number" rowspan=${span}>${ttl}</th>
    <td class="number" rowspan=${span}>${sent}</td>
    <td class="number" rowspan=${span}>${sent ? percent(lost / sent) : ''}</td>
  `;
  const kind = ttl === chosen ? 'chosen' : '';
  return html`
    <tbody>
      ${nodes.length
        ? nodes.map((node, place) => html`
            <tr class=${kind}>${place ? nothing : head}${nodeCells(node, replies?.get(`${ttl}/${node.ip}`), scale)}</tr>`)
        : html`<tr class=${kind}>${head}<td colspan="8" class="quiet">${sent ? 'no answer' : 'not known yet'}</td></tr>`}
    </tbody>
  `;
}

function nodeCells(node, rtts, scale) {
  const { ip, name, asn, labels = [], packet_count: answers } = node;
  return html`
    <td class="node">${name === ip ? nothing : html`<b>${name}</b> `}<span class="mono">${ip}</span>
      ${labels.length ? html`<ul class="labels" aria-label="Labels">${labels.map((label) => html`<li>${label}</li>`)}</ul>` : nothing}</td>
    <td>${asn === '*' ? '' : asn}</td>
    <td class="number">${answers}</td>
    <td>${strip(node, rtts, scale)}</td>
    ${times(node)}
  `;
}

function times({ min_rtt_ms: min, mean_rtt_ms: mean, max_rtt_ms: max, std_dev_rtt_ms: deviation }) {
  return [min, mean, max, deviation].map((each) => html`<td class="number">${each === undefined ? '' : figure(each)}</td>`);
}

function links({ links }) {
  return html`
    <h2 id="links">Links that flows took</h2>
    <div class="wide" role="region" aria-labelledby="links" tabindex="0">
      <table>
        <thead><tr><th scope="col" class="number">Hop</th><th scope="col">From</th><th scope="col">To</th>
          <th scope="col" class="number">Flows</th></tr></thead>
        <tbody>${links.map(({ ttl, from, to: next, flows }) => html`
          <tr><td class="number">${ttl}</td><td class="mono">${from}</td><td class="mono">${next}</td><td class="number">${flows}</td></tr>`)}
        </tbody>
      </table>
    </div>
  `;
}
