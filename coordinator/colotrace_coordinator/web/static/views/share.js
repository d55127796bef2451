// Passing a measurement on: its link, its text for a ticket, its picture, its data in every format.
import { html, nothing, signal } from '../core/html.js';
import { announce } from '../core/announce.js';
import { text } from '../core/http.js';
import { KEPT, copiedNote, copy } from './snippets.js';

/** By the name in the API: what people call it, and the extension of its files. A test compares
 * them with the API's own list. */
export const FORMATS = {
  html: ['HTML page, as evidence', 'html'],
  markdown: ['Markdown, for a ticket', 'md'],
  text: ["Text, as traceroute's", 'txt'],
  csv: ['CSV, a line for each node', 'csv'],
  json: ['JSON, as the API has it', 'json'],
  mtr: ["JSON, as mtr's", 'mtr.jsonl'],
  atlas: ["JSON, as RIPE Atlas'", 'atlas.jsonl'],
  scamper: ["JSON, as scamper's", 'scamper.jsonl'],
  dot: ['Graph, for Graphviz', 'dot'],
};

const failed = signal(null);

/** Save a text as a file of the browser's downloads. */
export function save(content, name, type = 'text/plain') {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  // The download has begun with the click; the text may be freed soon after.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  announce(`Saved ${name}`);
}

async function tried(action) {
  failed.value = null;
  try {
    await action();
  } catch (error) {
    failed.value = error;
  }
}

/**
 * The menus "Share" and "Save".
 * @param {{id: string, targets: string[]}} measurement
 * @param {(() => string) | null} [picture] makes a self-contained SVG of the current view
 */
export function shareMenu({ id, targets }, picture = null) {
  const name = `${(targets[0] ?? 'traceroute').replace(/[^\w.-]+/g, '_')}-${id.slice(0, 12)}`;
  const copied = (format) => tried(async () => copy(await text(`/${id}?format=${format}`)));
  const saved = (format) => tried(async () => save(await text(`/${id}?format=${format}`), `${name}.${FORMATS[format][1]}`));
  return html`
    <div class="menus">
      ${menu('Share', [
        ['Copy the link to this view', () => tried(() => copy(location.href))],
        ['Copy as Markdown', () => copied('markdown')],
        ['Copy as text', () => copied('text')],
        ...Object.entries(KEPT).map(([kind, of]) => [`Copy as ${kind}`, () => tried(() => copy(of(id)))]),
      ])}
      ${menu('Save', [
        ...(picture ? [['Picture (SVG)', () => save(picture(), `${name}.svg`, 'image/svg+xml')]] : []),
        ...Object.entries(FORMATS).map(([format, [words]]) => [words, () => saved(format)]),
      ])}
      ${copiedNote()}
      ${failed.value ? html`<p class="field-error" role="alert">${failed.value.message}</p>` : nothing}
    </div>
  `;
}

/** A list of actions that opens below its name; Escape closes it. */
function menu(name, actions) {
  const close = (event) => {
    const details = event.currentTarget.closest('details');
    details.open = false;
    details.querySelector('summary').focus();
  };
  return html`
    <details class="menu" @keydown=${(event) => event.key === 'Escape' && close(event)}
      @focusout=${(event) => !event.currentTarget.contains(event.relatedTarget) && (event.currentTarget.open = false)}>
      <summary>${name}</summary>
      <ul>${actions.map(([words, action]) => html`<li><button type="button" class="plain"
        @click=${(event) => (close(event), action())}>${words}</button></li>`)}</ul>
    </details>
  `;
}
