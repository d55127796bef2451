// What is on screen for other clients, as a command or a script: a request, or a measurement.

const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;
const BARE = /^[\w.:@%+,/-][\w.:@%+=,/-]*$/; // zsh expands a word that begins with "=".

/**
 * A text as one word of a shell. What is not seen is escaped as bash and zsh read it: a terminal would
 * take a control character for a key, and text that runs the other way looks like another. Other shells
 * take that for a text, too.
 */
function quoted(text) {
  if (!text.match(UNSEEN)) return `'${text.replaceAll("'", `'\\''`)}'`;
  const escaped = (each) => `\\U${hex(each.codePointAt(0), 8)}`;
  return `$'${text.replaceAll('\\', '\\\\').replaceAll("'", '\\x27').replace(UNSEEN, escaped)}'`;
}

/** JSON without characters that are not seen. */
function json(value) {
  const escaped = (each) => Array.from({ length: each.length }, (_, unit) => `\\u${hex(each.charCodeAt(unit), 4)}`).join('');
  return JSON.stringify(value).replace(UNSEEN, escaped);
}

const hex = (number, digits) => number.toString(16).padStart(digits, '0');

/** A request. @param {object} request @param {string} url of the account's traceroutes */
export function asCurl(request, url) {
  return [
    `curl ${quoted(url)} \\`,
    `  -H "Authorization: Bearer $COLOTRACE_TOKEN" -H 'Content-Type: application/json' \\`,
    `  -d ${quoted(json(request))}`,
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
  const words = targets.map(word);
  // What begins with "-" would be an option.
  const given = targets.some((each) => each.startsWith('-')) ? [...from, ...flags, '--', ...words] : [...words, ...from, ...flags];
  return [exported(url, account), ['colotrace trace', ...given].join(' ')].join('\n');
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
  return BARE.test(text) ? text : quoted(text);
}

/** A value in Python's words. */
function python(value) {
  if (typeof value === 'string') return JSON.stringify(value).replace(UNSEEN, (each) => `\\U${hex(each.codePointAt(0), 8)}`);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
  if (typeof value === 'number') return `${value}`;
  return `{${Object.entries(value).map(([name, each]) => `${python(name)}: ${python(each)}`).join(', ')}}`;
}
