// Rows over time: a small picture for each colo, or one colo with its table.
import { batch, html, nothing, repeat, signal } from '../core/html.js';
import { ask } from '../core/http.js';
import { href, route } from '../core/route.js';
import { count, ms, percent, when } from '../core/words.js';
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

  load();

  async function load() {
    try {
      failed.value = null;
      const { info } = await ask(`/${id}`, { signal: stopping.signal });
      summary.value = info;
      await more();
    } catch (error) {
      if (!stopping.signal.aborted) failed.value = error;
    }
  }

  /** One request after the other: the account has other readers too. */
  async function more() {
    const { target, colos } = chosen();
    for (const colo of colos.slice(0, most.value)) {
      const key = `${target}/${colo}`;
      if (series.value.has(key)) continue;
      const query = new URLSearchParams({ target, colo, per_page: MOMENTS });
      const { result } = await ask(`/${id}/rows?${query}`, { signal: stopping.signal });
      batch(() => {
        series.value = new Map(series.value).set(key, moments(result));
      });
    }
  }

  function chosen() {
    const { target = summary.value.targets[0], colo } = route.value.params;
    return { target, colos: colo ? [colo] : summary.value.colos };
  }

  return { title: 'Over time', template, stop: () => stopping.abort() };

  function template() {
    if (failed.value) return problem(failed.value, { again: load, heading: 'Over time' });
    if (!summary.value) return html`<p class="quiet">Loading…</p>`;
    const { target, colos } = chosen();
    const shown = colos.slice(0, most.value);
    const found = shown.map((colo) => series.value.get(`${target}/${colo}`) ?? []);
    const scale = highest(found);
    return html`
      <h1>${target} over time</h1>
      <p>Each column is one measurement, the last one at the right. A triangle above the path marks a change;
        click on a column to compare it with the one before.</p>
      <p><a href=${href('m', { ids: [id] })}>The measurement</a>
        ${colos.length === 1 && summary.value.colos.length > 1
          ? html` · <a href=${href('pair', { ids: [id], params: { target } })}>all colos</a>`
          : nothing}</p>
      <div class="pairs">
        ${repeat(shown, (colo) => colo, (colo, number) => multiple(colo, target, found[number], scale))}
      </div>
      ${colos.length > most.value
        ? html`<p><button type="button" @click=${() => ((most.value += AT_ONCE), more())}>
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
              <th scope="row"><a href=${href('m', { ids: [moment.id] })}>${when(moment.at)}</a></th>
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
