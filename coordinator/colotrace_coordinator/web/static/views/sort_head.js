// The head of a column that sorts: a link, so that the order is in the URL.
import { html, nothing } from '../core/html.js';
import { href, route } from '../core/route.js';

/**
 * @param {string} name in the parameter `sort`; a leading '-' reverses the order
 * @param {string} words
 * @param {string} sort the current order
 * @param {string} [kind] classes
 */
export function sortHead(name, words, sort, kind = '') {
  const by = sort.replace('-', '') === name;
  const turned = by && sort.startsWith('-');
  const { view, ids, params } = route.value;
  const link = href(view, { ids, params: { ...params, sort: by && !turned ? `-${name}` : name } });
  const upwards = turned !== (name === 'name'); // Names from A on, all else the worst first.
  return html`
    <th role="columnheader" scope="col" class=${kind} aria-sort=${by ? (upwards ? 'ascending' : 'descending') : nothing}>
      <a href=${link}>${words}${by ? (upwards ? ' ↑' : ' ↓') : ''}</a>
    </th>
  `;
}
