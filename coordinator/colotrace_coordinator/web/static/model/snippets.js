// What is on screen for other clients, as a command or a script: a request, or a measurement.

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** A request. @param {object} request @param {string} url of the account's traceroutes */
export function asCurl(request, url) {
  return [
    `curl ${quoted(url)} \\`,
    `  -H "Authorization: Bearer $COLOTRACE_TOKEN" -H 'Content-Type: application/json' \\`,
    `  -d ${quoted(JSON.stringify(request))}`,
  ].join('\n');
}

/** @param {object} request @param {{url: string, account: string}} where */
export function asCli({ targets, colos = [], options = {} }, { url, account }) {
  const flags = Object.entries(options).flatMap(([name, value]) => {
    if (name === 'family') return [`-${value}`];
    if (name === 'multipath') return ['--multipath'];
    return [`--${name.replaceAll('_', '-')} ${word(String(value))}`];
  });
  const from = colos.length ? [`--from ${word(colos.join(','))}`] : [];
  return [
    exported(url, account),
    ['colotrace trace', ...targets.map(word), ...from, ...flags].join(' '),
  ].join('\n');
}

/** With the public API's official SDK. */
export function asPython({ targets, colos, options }, { url, account }) {
  const given = [
    `    account_id=${python(account)},`,
    `    targets=${python(targets)},`,
    ...(colos ? [`    colos=${python(colos)},`] : []),
    ...(options ? [`    options=${python(options)},`] : []),
  ];
  return [
    ...client(url),
    'for target in client.diagnostics.traceroutes.create(',
    ...given,
    '):',
    '    print(target.to_json())',
  ].join('\n');
}

/** A measurement that is kept, by the three clients. @param {string} url of the measurement */
export function asCurlOf(url) {
  return `curl ${quoted(url)} -H "Authorization: Bearer $COLOTRACE_TOKEN"`;
}

/** @param {string} id @param {{url: string, account: string}} where */
export function asCliOf(id, { url, account }) {
  return [exported(url, account), `colotrace show ${id}`].join('\n');
}

/** The SDK has no method for it, but takes a path. @param {string} id */
export function asPythonOf(id, { url, account }) {
  const path = `/accounts/${encodeURIComponent(account)}/diagnostics/traceroute/${id}`;
  return [...client(url), `print(client.get(${python(path)}, cast_to=object))`].join('\n');
}

function exported(url, account) {
  return `export COLOTRACE_URL=${word(url)} COLOTRACE_ACCOUNT=${word(account)}  # and COLOTRACE_TOKEN`;
}

function client(url) {
  return [
    'import os',
    'from cloudflare import Cloudflare  # pip install cloudflare',
    '',
    `client = Cloudflare(base_url=${python(url)}, api_token=os.environ["COLOTRACE_TOKEN"])`,
  ];
}

function word(text) {
  return /^[\w.:@%+=,/-]+$/.test(text) ? text : quoted(text);
}

function python(value) {
  return JSON.stringify(value).replaceAll(',"', ', "').replaceAll('":', '": ').replaceAll(': true', ': True').replaceAll(': false', ': False');
}
