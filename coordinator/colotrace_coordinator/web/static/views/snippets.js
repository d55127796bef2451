// "As curl", "as CLI", "as Python": the request or the measurement that is on screen.
import { html, nothing, signal } from '../core/html.js';
import { announce } from '../core/announce.js';
import { address, baseUrl } from '../core/http.js';
import { route } from '../core/route.js';
import { asCli, asCliOf, asCurl, asCurlOf, asPython, asPythonOf } from '../model/snippets.js';

const KINDS = {
  curl: (request) => asCurl(request, address('')),
  CLI: (request) => asCli(request, atCoordinator()),
  Python: (request) => asPython(request, atApi()),
};
const kind = signal('curl');
const failed = signal('');
const done = signal(false); // A text was copied just now.
const DONE_MS = 2_000;
let timer = 0;

/** A measurement by the three clients, by their names. */
export const KEPT = {
  curl: (id) => asCurlOf(address(`/${id}`)),
  CLI: (id) => asCliOf(id, atCoordinator()),
  Python: (id) => asPythonOf(id, atApi()),
};

/** As the SDK takes it. */
function atApi() {
  return { url: baseUrl(), account: route.value.account };
}

/** As the command takes it: without the API's prefix. */
function atCoordinator() {
  return { ...atApi(), url: baseUrl().replace(/\/client\/v4$/, '') };
}

/** @param {object[]} requests */
export function snippets(requests) {
  const text = requests.map(KINDS[kind.value]).join('\n\n');
  return html`
    <details class="snippets">
      <summary>The same as a command or script</summary>
      <fieldset class="choices">
        <legend class="unseen">Form of the request</legend>
        ${Object.keys(KINDS).map(
          (each) => html`<label><input type="radio" name="snippet" .checked=${kind.value === each}
            @change=${() => (kind.value = each)}> as ${each}</label>`,
        )}
        <button type="button" @click=${() => copied(text)}>Copy</button> ${copiedNote()}
      </fieldset>
      ${failed.value ? html`<p class="field-error" role="alert">${failed.value}</p>` : nothing}
      <pre tabindex="0" aria-label="Request as ${kind.value}">${text}</pre>
    </details>
  `;
}

async function copied(text) {
  try {
    failed.value = '';
    await copy(text);
  } catch (error) {
    failed.value = error.message;
  }
}

/** "Copied", for two seconds; screen readers are told by the live region. */
export const copiedNote = () => (done.value ? html`<span class="quiet" aria-hidden="true">Copied</span>` : nothing);

/** Copy a text, and say so. Throws where browsers don't let a page do that. */
export async function copy(text) {
  if (!navigator.clipboard) throw new Error('Browsers let a page copy only over HTTPS. Select the text, and copy it yourself.');
  await navigator.clipboard.writeText(text);
  announce('Copied');
  done.value = true;
  clearTimeout(timer);
  timer = setTimeout(() => (done.value = false), DONE_MS);
}
