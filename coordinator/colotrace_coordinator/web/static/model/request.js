// What is asked for: from the form's choices (the parameters of its URL) to the API's request.

/** By the name in the API. A test holds the bounds against the API's own description. */
export const OPTIONS = {
  packet_type: {
    label: 'Packet type',
    help: 'ICMP is answered by most routers. UDP and TCP take the path of real traffic. GRE is for tunnels',
    choices: ['icmp', 'udp', 'tcp', 'gre', 'gre+icmp'],
    standard: 'icmp',
  },
  max_ttl: { label: 'Greatest TTL', help: 'How many hops are traced at most', least: 1, most: 64, standard: 15 },
  packets_per_ttl: { label: 'Packets a hop', help: 'More packets show loss more exactly', least: 1, most: 10, standard: 3 },
  wait_time: { label: 'Wait', help: 'Longest wait for an answer, in seconds', least: 1, most: 5, standard: 1 },
  port: {
    label: 'Port',
    help: 'Destination port of UDP and TCP, first sequence number of ICMP; 0: the usual one',
    least: 0,
    most: 65_535,
    standard: 0,
  },
  family: { label: 'Family', help: 'Addresses of one family only', choices: ['0', '4', '6'], standard: '0' },
  multipath: {
    label: 'Find load-balanced paths',
    help: 'Traces many flows, each with two packets a hop',
    choices: ['false', 'true'],
    standard: 'false',
  },
};

export const MOST_TARGETS = 10;
/** Flows of one row with `multipath`, and its packets. */
export const MOST_MULTIPATH_PACKETS = 8_192;
const LONGEST_TARGET = 255;

/** Words separated by spaces, commas or lines: targets or colos. */
export function words(text = '') {
  return text.split(/[\s,;]+/).filter(Boolean);
}

/**
 * The requests of the form's choices: one for each ten targets.
 * @param {Record<string, string>} params
 * @returns {{targets: string[], colos?: string[], options?: Record<string, unknown>}[]}
 */
export function requestsOf(params) {
  const targets = [...new Set(words(params.targets))];
  const colos = words(params.from);
  const options = optionsOf(params);
  const rest = {
    ...(colos.length && { colos }),
    ...(Object.keys(options).length && { options }),
  };
  const requests = [];
  for (let first = 0; first < targets.length; first += MOST_TARGETS)
    requests.push({ targets: targets.slice(first, first + MOST_TARGETS), ...rest });
  return requests;
}

/** The options that differ from the API's own. */
function optionsOf(params) {
  const found = {};
  for (const [name, option] of Object.entries(OPTIONS)) {
    const given = params[name];
    if (given === undefined || given === '' || given === String(option.standard)) continue;
    found[name] = name === 'packet_type' ? given : name === 'multipath' ? given === 'true' : Number(given);
  }
  return found;
}

/** The form's choices of a measurement's request: to trace the same again. */
export function paramsOf({ targets, colos, options }) {
  const params = { targets: targets.join(' '), from: colos.join(' ') };
  for (const [name, option] of Object.entries(OPTIONS)) {
    const value = options[name];
    if (value !== undefined && String(value) !== String(option.standard)) params[name] = String(value);
  }
  return params;
}

/**
 * What is wrong with the choices, by the field: nothing is sent that the API would refuse.
 * @returns {Record<string, string>}
 */
export function faultsOf(params) {
  const faults = {};
  const targets = words(params.targets);
  const long = targets.find((each) => each.length > LONGEST_TARGET);
  if (!targets.length) faults.targets = 'Enter at least one host name or address.';
  else if (long) faults.targets = `${long.slice(0, 40)}… is longer than ${LONGEST_TARGET} characters.`;
  for (const [name, { least, most, label }] of Object.entries(OPTIONS)) {
    const given = params[name];
    if (least === undefined || given === undefined || given === '') continue;
    if (!/^\d+$/.test(given) || given < least || given > most)
      faults[name] = `${label}: a whole number from ${least} to ${most}.`;
  }
  return faults;
}

/**
 * The API's errors by the field that each points to; '' for those of no field. An entry of a list
 * is named by its text, not by its place in the request.
 * @param {{message: string, source?: {pointer: string}}[]} errors
 * @param {{targets?: string[], colos?: string[]}} request
 */
export function byField(errors, request = {}) {
  const faults = {};
  for (const { message: told, source } of errors) {
    const [, first, second] = (source?.pointer ?? '').split('/');
    const entry = request[first]?.[second];
    const place = `${first}[${second}]`;
    const message = entry === undefined ? told : told.includes(place) ? told.replaceAll(place, () => entry) : `${entry}: ${told}`;
    const field = first === 'options' && second in OPTIONS ? second : { targets: 'targets', colos: 'from' }[first] ?? '';
    faults[field] = faults[field] ? `${faults[field]}; ${message}` : message;
  }
  return faults;
}

/**
 * The colos that entries mean, as far as the list tells. Names and codes unite, selectors narrow.
 * @param {string[]} entries
 * @param {{name: string, city: string, state: string}[]} colos
 * @param {(colo: string, tag: string) => boolean} tagged
 * @returns {{colos: typeof colos, unknown: string[]}}
 */
export function chosen(entries, colos, tagged) {
  const named = entries.filter((each) => !each.includes(':'));
  const unknown = named.filter((each) => !colos.some(({ name }) => isNamed(name, each)));
  let found = named.length ? colos.filter(({ name }) => named.some((each) => isNamed(name, each))) : colos;
  let limit = Infinity;
  for (const entry of entries.filter((each) => each.includes(':'))) {
    const [key, ...rest] = entry.split(':');
    const value = rest.join(':').toLowerCase();
    const parts = ({ city }) => city.toLowerCase().split(',').map((each) => each.trim());
    if (key === 'country') found = found.filter((each) => parts(each).at(-1) === value);
    else if (key === 'city') found = found.filter((each) => each.city.toLowerCase().startsWith(value));
    else if (key === 'tag') found = found.filter((each) => tagged(each.name, rest.join(':')));
    else if (key === 'limit') limit = Number(value) || 0;
    else unknown.push(entry);
  }
  const up = found.filter((each) => each.state === 'up');
  return { colos: up.slice(0, limit), unknown };
}

/** Whether an entry is the colo's name, or its code: the name without the digits at its end. */
export function isNamed(name, entry) {
  return name === entry.toLowerCase() || code(name) === entry.toLowerCase();
}

/** The code of a colo's name. */
export function code(name) {
  return name.replace(/\d+$/, '');
}

/**
 * The packets that a trace sends at most.
 * @param {Record<string, string>} params
 * @param {number} hosts
 */
export function packets(params, hosts) {
  const rows = new Set(words(params.targets)).size * hosts;
  if (params.multipath === 'true') return rows * MOST_MULTIPATH_PACKETS;
  const option = (name) => Number(params[name] || OPTIONS[name].standard);
  const types = (params.packet_type ?? '').split('+').length;
  return rows * option('max_ttl') * option('packets_per_ttl') * types;
}
