// Two measurements side by side: clusters of rows that changed alike first, then row by row.
import { html, nothing, signal } from '../core/html.js';
import { ask } from '../core/http.js';
import { loaded } from '../core/modules.js';
import { href, route, setParams } from '../core/route.js';
import { count, date } from '../core/words.js';
import { lines } from '../model/difference.js';
import { differenceMatrix } from './difference_matrix.js';
import { problem } from './problem.js';

/** The comparison of the first id with the second, which is the later one. */
export function view({ ids: [before, after] }) {
  const stopping = new AbortController();
  const diff = signal(null);
  const infos = signal([]);
  const failed = signal(null);
  const graph = signal(null);

  load();

  async function load() {
    failed.value = null;
    const { signal } = stopping;
    try {
      const found = await Promise.all([ask(`/${before}/diff/${after}`, { signal }), info(before), info(after)]);
      infos.value = found.slice(1);
      diff.value = found[0].result;
    } catch (error) {
      if (!signal.aborted) failed.value = error;
    }
  }

  /** What was asked, without the rows: the list has that of one measurement too. */
  async function info(id) {
    return (await ask(`/${id}`, { signal: stopping.signal })).info;
  }

  async function openGraph() {
    try {
      const { view } = await loaded(() => import('./compare_graph.js'));
      if (stopping.signal.aborted) return;
      const [first, second] = infos.value.map(({ targets }) => targets);
      graph.value ??= view(before, after, { diff: diff.value, targets: first.filter((each) => second.includes(each)) });
    } catch (error) {
      failed.value = error;
    }
  }

  function stop() {
    stopping.abort();
    graph.value?.stop();
  }

  return { title: 'Compare', template, stop };

  function template() {
    if (failed.value) return problem(failed.value, { again: load, heading: 'Compare' });
    if (!diff.value) return html`<p class="quiet">Comparing…</p>`;
    const { params } = route.value;
    const cluster = diff.value.clusters[Number(params.cluster)];
    const shown = params.view === 'graph' ? 'graph' : 'matrix';
    if (shown === 'graph' && !graph.value) openGraph();
    return html`
      ${head(cluster)}
      ${diff.value.clusters.map((each, number) => card(each, number, params.cluster))}
      ${cluster ? html`<p><a href=${link({ ...params, cluster: undefined })}>Show all rows</a></p>` : nothing}
      <nav class="tabs" aria-label="Forms of the comparison">
        ${[['matrix', 'Matrix'], ['graph', 'Graph']].map(([name, label]) => html`<a href=${link({ ...params, view: name })}
          aria-current=${shown === name ? 'page' : nothing}>${label}</a>`)}
      </nav>
      ${shown === 'graph'
        ? graph.value?.template() ?? html`<p class="quiet">Loading…</p>`
        : differenceMatrix(lines(diff.value, cluster?.rows ?? null), ({ target, colo }) =>
            href('m', { ids: [after], params: { view: 'rows', target, colo } }))}
      ${rest(diff.value)}
    `;
  }

  function link(params) {
    return href('compare', { ids: [before, after], params });
  }

  function head() {
    const [first, second] = infos.value;
    const [compared] = diff.value.in_words;
    return html`
      <h1>What differs</h1>
      <p><a href=${href('m', { ids: [before] })}>${date(first.began_at)}</a> compared with
        <a href=${href('m', { ids: [after] })}>${date(second.began_at)}</a>
        · <a href=${href('compare', { ids: [after, before] })}>the other way round</a></p>
      <p class=${diff.value.empty ? 'verdict same' : 'verdict'}><b>${compared}.</b></p>
    `;
  }

  function card(cluster, number, chosen) {
    return html`
      <section class="cluster ${String(number) === chosen ? 'chosen' : ''}" aria-label="Cluster ${number + 1}">
        <p>${cluster.in_words}</p>
        <p class="quiet">${count(cluster.rows.length, 'row')}: ${members(cluster.colos)}
          ${cluster.targets.length > 1 ? html` to ${members(cluster.targets)}` : nothing}</p>
        <button type="button" aria-pressed=${String(number) === chosen}
          @click=${() => setParams({ cluster: String(number) === chosen ? undefined : number })}>Show these rows only</button>
      </section>
    `;
  }
}

const MOST = 12;

function members(names) {
  const rest = names.slice(MOST);
  return html`${names.slice(0, MOST).join(', ')}${rest.length
    ? html` <details class="more"><summary>and ${count(rest.length, 'more', 'more')}</summary>${rest.join(', ')}</details>`
    : nothing}`;
}

/** What was not compared, and why. */
function rest({ not_compared, only_before, only_after, unlike_options }) {
  const parts = [
    ...not_compared.map(({ in_words, rows }) => [in_words, rows]),
    ...[[only_before, 'before'], [only_after, 'after']]
      .filter(([rows]) => rows.length)
      .map(([rows, side]) => [`${count(rows.length, 'row')} only ${side}`, rows]),
    ...(unlike_options.length ? [[`Measured with other options: ${unlike_options.join(', ')}`, []]] : []),
  ];
  if (!parts.length) return nothing;
  return html`
    <h2>Not compared</h2>
    <ul>${parts.map(([words, rows]) => html`<li>${words}${rows.length
      ? html`: ${members([...new Set(rows.map(({ colo }) => colo))])}`
      : nothing}</li>`)}</ul>
  `;
}
