// Where the colos are, if their agents tell: dots on an outline of the land. A list says the same.
import { html, nothing, svg } from '../core/html.js';

const LAND = new URL('../outline.svg', import.meta.url).href;

/**
 * @param {{name: string, city: string, state: string, location: [number, number] | null}[]} colos
 * @param {Set<string>} selected names
 * @param {(name: string) => void} toggle
 */
export function map(colos, selected, toggle) {
  const placed = colos.filter((each) => each.location);
  if (!placed.length) return nothing;
  return html`
    <svg class="map" viewBox="0 6 360 140" aria-hidden="true">
      <image href=${LAND} x="0" y="6" width="360" height="140" />
      ${placed.map(({ name, city, state, location: [latitude, longitude] }) => svg`
        <circle cx=${longitude + 180} cy=${90 - latitude} r=${selected.has(name) ? 3.4 : 2.4}
          class="${state} ${selected.has(name) ? 'selected' : ''}" @click=${() => toggle(name)}>
          <title>${name}, ${city}</title>
        </circle>`)}
    </svg>
  `;
}
