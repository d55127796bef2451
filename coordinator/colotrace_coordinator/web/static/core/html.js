// Templates and state: what every view imports of lit-html and signals-core.
import { html, nothing, render, svg } from '../vendor/lit-html/lit-html.js';
import { guard } from '../vendor/lit-html/directives/guard.js';
import { live } from '../vendor/lit-html/directives/live.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { batch, computed, effect, signal, untracked } from '../vendor/signals-core/signals-core.js';

export { batch, computed, effect, guard, html, live, nothing, render, repeat, signal, svg, untracked };

/**
 * Show a template in an element, and again whenever a signal that it has read changes: once per
 * frame at most.
 * @param {Element} element
 * @param {() => unknown} template
 * @returns {() => void} stops it
 */
export function mount(element, template) {
  let frame = 0;
  const turn = signal(0);
  let seen = -1;
  const stop = effect(() => {
    // A change marks the template as old; the next frame reads the signals anew.
    if (turn.value !== seen) {
      seen = turn.peek();
      render(template(), element);
    } else if (!frame) {
      frame = requestAnimationFrame(() => {
        frame = 0;
        turn.value += 1;
      });
    }
  });
  return () => {
    stop();
    cancelAnimationFrame(frame);
  };
}
