// Rows over time: a small picture for each colo, or one colo with its table.
import { effect, html, nothing, repeat, signal, untracked } from '../core/html.js';
import { ask } from '../core/http.js';
import { href, route } from '../core/route.js';
import { count, ms, percent, stamp } from '../core/words.js';
import { highest, moments } from '../model/series.js';
import { problem } from './problem.js';
import { picture } from './series.js';

const MOMENTS = 50;
const AT_ONCE = 12;

/** The rows of a target, in this measurement and in earlier ones. */
export function view({ ids: [id] }) {
  const stopping = new AbortController();
  const summary = signal(null);
  const series = signal(new Map());
  const most = signal(AT_ONCE);
  const failed = signal(null);
  let loading = false;

  load();
  const unwatch = effect(() => {
    [route.value, most.value]; // They choose what is shown.
    if (summary.value) untracked(load);
  });

  /** Ask for what is missing, one request after the other: the account has other readers too. */
  async function load() {
    if (loading) return;
    loading = true;
    const { signal } = stopping;
    try {
      failed.value = null;
      if (!summary.value) summary.value = (await ask(`/${id}`, { signal })).info;
      for (let next = missing(); next; next = missing()) {
        const { result } = await ask(`/${id}/rows?${new URLSearchParams(next)}`, { signal });
        series.value = new Map(series.value).set(`${next.target}/${next.colo}`, moments(result));
      }
    } catch (error) {
      if (!signal.aborted) failed.value = error;
    }
    loading = false;
  }

  /** The first row that is shown and not known yet. */
  function missing() {
    const { target, colos } = chosen();
    const colo = colos.slice(0, most.value).find((each) => !series.value.has(`${target}/${each}`));
    return colo && { target, colo, per_page: MOMENTS };
  }

  function stop() {
    unwatch();
    stopping.abort();
  }

  function chosen() {
    const { target = summary.value.targets[0], colo } = route.value.params;
    return { target, colos: colo ? [colo] : summary.value.colos };
  }

  return { title: 'Over time', template, stop };

  function template() {
    if (failed.value) return problem(failed.value, { again: load, heading: 'Over time' });
    if (!summary.value) return html`<p class="quiet">Loading…</p>`;
    const { target, colos } = chosen();
    const shown = colos.slice(0, most.value);
    const found = shown.map((colo) => series.value.get(`${target}/${colo}`) ?? []);
    const scale = highest(found);
    return html`
      <h1>${target} over time</h1>
      <p>Each column is one measurement, the last one at the right. A triangle marks where the path changed;
        click on a column to compare it with the one before.</p>
      <p><a href=${href('m', { ids: [id] })}>The measurement</a>
        ${colos.length === 1 && summary.value.colos.length > 1
          ? html` · <a href=${href('pair', { ids: [id], params: { target } })}>all colos</a>`
          : nothing}</p>
      <div class="pairs">
        ${repeat(shown, (colo) => colo, (colo, number) => multiple(colo, target, found[number], scale))}
      </div>
      ${colos.length > most.value
        ? html`<p><button type="button" @click=${() => (most.value += AT_ONCE)}>
            Show ${count(Math.min(colos.length - most.value, AT_ONCE), 'more colo')}</button></p>`
        : nothing}
      ${colos.length === 1 ? table(found[0]) : nothing}
    `;
  }

  function multiple(colo, target, found, most) {
    return html`
      <section aria-label=${colo}>
        <h2><a href=${href('pair', { ids: [id], params: { target, colo } })}>${colo}</a></h2>
        ${found.length ? picture(found, { most, name: colo }) : html`<p class="quiet">Loading…</p>`}
      </section>
    `;
  }
}

function table(found) {
  return html`
    <h2 id="moments">Moments</h2>
    <div class="wide" tabindex="0" role="region" aria-labelledby="moments">
      <table>
        <thead><tr><th scope="col">Begun</th><th scope="col" class="number">RTT</th><th scope="col" class="number">Loss</th>
          <th scope="col">Path</th><th scope="col"><span class="unseen">Compare</span></th></tr></thead>
        <tbody>
          ${found.map((moment, number) => ({ moment, before: found[number - 1] })).reverse().map(({ moment, before }) => html`
            <tr>
              <th scope="row"><a href=${href('m', { ids: [moment.id] })}>${stamp(moment.at)}</a></th>
              <td class="number">${moment.error || (moment.rtt ? ms(moment.rtt.mean) : 'no answer')}</td>
              <td class="number">${percent(moment.loss)}</td>
              <td>${count(moment.steps.length, 'hop')}${moment.changed ? ', changed' : ''}</td>
              <td>${before ? html`<a href=${href('compare', { ids: [before.id, moment.id] })}>compare with the one before</a>` : nothing}</td>
            </tr>`)}
        </tbody>
      </table>
    </div>
  `;
}
