// Signing in: the token is asked for once, and kept for this browser tab.
import { html, nothing, signal } from '../core/html.js';
import { ended, signIn } from '../core/session.js';

const busy = signal(false);
const refused = signal(null);

async function submit(event) {
  event.preventDefault();
  const field = event.target.elements.token;
  const token = field.value.trim();
  refused.value = null;
  if (!token) {
    refused.value = new Error('Enter a token.');
  } else {
    busy.value = true;
    try {
      await signIn(token);
      field.value = '';
    } catch (error) {
      refused.value = error;
    }
    busy.value = false;
  }
  if (refused.value) field.focus();
}

/** The form, with the reason why the last token was not accepted. */
export function signInForm() {
  const error = refused.value ?? ended.value;
  return html`
    <form class="sign-in" @submit=${submit} aria-busy=${busy.value}>
      <h1>Sign in</h1>
      <label for="token">API token</label>
      <input id="token" name="token" type="password" autocomplete="off" spellcheck="false"
        aria-describedby="token-help ${error ? 'token-error' : nothing}" aria-invalid=${!!error} data-focus>
      ${error ? html`<p class="field-error" id="token-error" role="alert">${error.message}</p>` : nothing}
      <p id="token-help">An operator makes one on the coordinator:
        <code>colotrace-coordinator token create</code>. It stays in this browser tab, and is
        forgotten when the tab is closed.</p>
      <button class="main" ?disabled=${busy.value}>${busy.value ? 'Signing in…' : 'Sign in'}</button>
    </form>
  `;
}
