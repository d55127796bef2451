// An error, in words, with what to do about it.
import { html, nothing } from '../core/html.js';

/**
 * @param {Error} error
 * @param {{again?: () => void}} [then] `again`: what the button "Try again" does
 */
export function problem(error, { again } = {}) {
  return html`
    <div class="problem" role="alert">
      <p>${error.message}</p>
      ${again ? html`<button type="button" @click=${again}>Try again</button>` : nothing}
    </div>
  `;
}
