// The modules of the page that are loaded when they are first needed.
import { ApiError } from './http.js';

/**
 * A module. Throws `ApiError` if it does not load.
 * @template Module
 * @param {() => Promise<Module>} load
 * @returns {Promise<Module>}
 */
export async function loaded(load) {
  try {
    return await load();
  } catch (error) {
    throw error instanceof TypeError ? new ApiError('no-module') : error;
  }
}

/**
 * Load the page anew, unless the coordinator is still away. As long as a page is open, the browser
 * does not ask again for a module that did not load.
 */
export async function loadAnew() {
  try {
    await fetch(document.baseURI, { method: 'HEAD', cache: 'no-store' });
  } catch {
    return;
  }
  location.reload();
}
