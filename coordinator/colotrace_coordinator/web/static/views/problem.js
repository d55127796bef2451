// An error, in words, with what to do about it.
import { html, nothing } from '../core/html.js';
import { loadAnew } from '../core/modules.js';

/**
 * @param {Error} error
 * @param {{again?: () => void, heading?: string}} [then] `again`: what the button "Try again" does,
 *   unless a module is missing; `heading`: that of the page, if there is nothing else on it
 */
export function problem(error, { again, heading } = {}) {
  const retry = error.kind === 'no-module' ? loadAnew : again;
  return html`
    ${heading ? html`<h1>${heading}</h1>` : nothing}
    <div class="problem" role="alert">
      <p>${error.message}</p>
      ${retry ? html`<button type="button" @click=${retry}>Try again</button>` : nothing}
    </div>
  `;
}
