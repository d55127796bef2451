// What to trace, from where, and how. The URL has all choices, so a link shows them again.
import { batch, html, live, nothing, signal } from '../core/html.js';
import { announce } from '../core/announce.js';
import { ask } from '../core/http.js';
import { go, href, route, setParams } from '../core/route.js';
import { may } from '../core/session.js';
import { count } from '../core/words.js';
import { byField, chosen, faultsOf, packets, requestsOf, words } from '../model/request.js';
import { coloField, coloPicker } from './colo_picker.js';
import { options } from './options.js';
import { problem } from './problem.js';
import { snippets } from './snippets.js';

/** The form. */
export function view() {
  const stopping = new AbortController();
  const colos = signal([]);
  const tags = signal(new Map());
  const failed = signal(null);
  const faults = signal({});
  const sending = signal(false);
  const typed = signal(''); // As it was typed: the URL has the words alone.

  load();

  async function load() {
    failed.value = null;
    try {
      const { signal } = stopping;
      const [found, agents] = await Promise.all([ask('/colos', { signal }), ask('/agents', { signal })]);
      batch(() => {
        colos.value = found.result;
        tags.value = tagsByColo(agents.result);
      });
    } catch (error) {
      if (!stopping.signal.aborted) failed.value = error;
    }
  }

  function set(name, value) {
    const { [name]: _, ...others } = faults.value;
    faults.value = others;
    setParams({ [name]: value || undefined });
  }

  async function submit(event) {
    event.preventDefault();
    const { params, account } = route.value;
    faults.value = faultsOf(params);
    if (Object.keys(faults.value).length) return focusFault();
    sending.value = true;
    const begun = [];
    const requests = requestsOf(params);
    try {
      for (const body of requests) {
        const headers = { Prefer: 'respond-async' };
        begun.push((await ask('', { method: 'POST', body, headers, account })).info.id);
      }
      if (!stopping.signal.aborted) go(begun.length === 1 ? href('m', { ids: begun }) : href('history'));
    } catch (error) {
      if (stopping.signal.aborted) return;
      faults.value = error.errors?.length ? byField(error.errors, requests[begun.length]) : { '': error.message };
      if (begun.length) faults.value[''] = `${count(begun.length, 'measurement')} begun, then: ${error.message}`;
      focusFault();
    }
    sending.value = false;
  }

  function focusFault() {
    announce(Object.values(faults.value).join(' '));
    requestAnimationFrame(() => document.querySelector('form [aria-invalid="true"]')?.focus());
  }

  return { title: 'Trace', template, stop: () => stopping.abort() };

  function template() {
    const { params, account } = route.value;
    const allowed = may('write', account);
    const { targets: _, ...wrong } = faultsOf(params);
    const told = { ...wrong, ...faults.value };
    const tagged = (colo, tag) => tags.value.get(colo)?.has(tag);
    const from = chosen(words(params.from), colos.value, tagged);
    const unknown = colos.value.length ? from.unknown : [];
    const targets = params.targets ?? '';
    const text = words(typed.value).join(' ') === targets ? typed.value : targets.replaceAll(' ', '\n');
    return html`
      <h1 class="unseen">Trace</h1>
      ${failed.value ? problem(failed.value, { again: load }) : nothing}
      ${allowed ? nothing : html`<p class="notice">This token may not make measurements.</p>`}
      <form class="trace" @submit=${submit} aria-busy=${sending.value} novalidate>
        ${told[''] ? html`<div class="problem" role="alert"><p>${told['']}</p></div>` : nothing}
        <div class="field">
          <label for="targets">Targets</label>
          <textarea id="targets" rows=${Math.min(Math.max(words(params.targets).length, 2), 12)} data-focus
            spellcheck="false" autocomplete="off" .value=${live(text)}
            placeholder="web.example.com" aria-invalid=${!!told.targets}
            aria-describedby="targets-help ${told.targets ? 'targets-fault' : ''}"
            @keydown=${(event) => event.key === 'Enter' && event.ctrlKey && event.target.form.requestSubmit()}
            @input=${(event) => {
              typed.value = event.target.value;
              set('targets', words(typed.value).join(' '));
            }}></textarea>
          ${told.targets ? html`<p class="field-error" id="targets-fault">${told.targets}</p>` : nothing}
          <p class="quiet" id="targets-help">Host names or addresses, one a line or separated by spaces.
            More than 10 become several measurements.</p>
        </div>
        ${coloField(params.from ?? '', { fault: told.from, unknown, set: (value) => set('from', value) })}
        ${coloPicker(colos.value, params.from ?? '', (value) => set('from', value))}
        ${options(params, told, set)}
        <div class="send">
          <button class="main" ?disabled=${!allowed || sending.value}>${sending.value ? 'Starting…' : 'Trace'}</button>
          <p aria-live="off">${Object.keys(wrong).length ? nothing : sends(params, from.colos)}</p>
        </div>
        ${words(params.targets).length ? snippets(requestsOf(params)) : nothing}
      </form>
    `;
  }
}

function sends(params, colos) {
  const rows = new Set(words(params.targets)).size * colos.length;
  if (!rows) return html`<span class="quiet">${colos.length ? 'Sends nothing yet.' : 'No colo that is up is chosen.'}</span>`;
  return html`Sends at most <b>${count(packets(params, colos.length), 'packet')}</b> from
    <b>${count(colos.length, 'colo')}</b>.`;
}

function tagsByColo(agents) {
  const found = new Map();
  for (const { colo, tags } of agents) {
    if (!found.has(colo)) found.set(colo, new Set());
    for (const [key, value] of Object.entries(tags)) found.get(colo).add(`${key}=${value}`);
  }
  return found;
}
