// Workers of the page's own files; the content security policy allows no others.

const policy = globalThis.trustedTypes?.createPolicy('colotrace', { createScriptURL: (url) => url });

/**
 * Start a module of the page in a worker.
 * @param {string} path below the page's files: `worker/layout.js`
 */
export function startWorker(path) {
  const url = new URL(`../${path}`, import.meta.url).href;
  return new Worker(policy ? policy.createScriptURL(url) : url, { type: 'module' });
}
