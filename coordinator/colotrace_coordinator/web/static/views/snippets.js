// "As curl", "as CLI", "as Python": the request that is on screen.
import { html, signal } from '../core/html.js';
import { announce } from '../core/announce.js';
import { address, baseUrl } from '../core/http.js';
import { route } from '../core/route.js';
import { asCli, asCurl, asPython } from '../model/snippets.js';

const KINDS = {
  curl: (request) => asCurl(request, address('')),
  CLI: (request) => asCli(request, where('/client/v4')),
  Python: (request) => asPython(request, where('')),
};
const kind = signal('curl');

/** The command names the coordinator without the API's prefix, the SDK with it. */
function where(prefix) {
  return { url: prefix ? baseUrl().replace(/\/client\/v4$/, '') : baseUrl(), account: route.value.account };
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
        <button type="button" @click=${() => copy(text)}>Copy</button>
      </fieldset>
      <pre tabindex="0" aria-label="Request as ${kind.value}">${text}</pre>
    </details>
  `;
}

/** Copy a text, and say so. */
export async function copy(text) {
  await navigator.clipboard.writeText(text);
  announce('Copied');
}
