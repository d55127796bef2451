// An error, in words, with what to do about it.
import { html, nothing } from '../core/html.js';

/**
 * @param {Error} error
 * @param {{again?: () => void, heading?: string}} [then] `again`: what the button "Try again" does;
 *   `heading`: that of the page, if there is nothing else on it
 */
export function problem(error, { again, heading } = {}) {
  return html`
    ${heading ? html`<h1>${heading}</h1>` : nothing}
    <div class="problem" role="alert">
      <p>${error.message}</p>
      ${again ? html`<button type="button" @click=${again}>Try again</button>` : nothing}
    </div>
  `;
}
