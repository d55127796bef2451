// A measurement as the page holds it: filled by the events of its stream, or by an answer at once.
import { signal } from '../vendor/signals-core/signals-core.js';

const SKIPPED = 1120; // A message to a slow client: it has the newest state all the same.

/** @typedef {{asn: string, ip: string, name: string, packet_count: number, min_rtt_ms?: number,
 *   mean_rtt_ms?: number, max_rtt_ms?: number, std_dev_rtt_ms?: number, labels?: string[]}} Node */
/** @typedef {{packets_ttl: number, packets_sent: number, packets_lost: number, nodes: Node[]}} Hop */

/** A target from a colo. `version` grows with every change. */
export class Row {
  constructor(target, colo, name) {
    /** Indexes in the measurement's lists. */
    this.target = target;
    this.colo = colo;
    this.name = name;
    this.city = '';
    this.error = '';
    /** @type {Hop[]} one for each TTL from 1 on; one that is not known yet has no nodes */
    this.hops = [];
    this.links = [];
    this.summary = null;
    this.ms = null;
    /** Whether the row has ended. */
    this.done = false;
    this.version = 0;
  }

  /** Hops that are new or have changed; `fresh`: earlier ones no longer hold. */
  merge(hops, summary, fresh) {
    if (fresh) this.hops = [];
    for (const hop of hops) {
      for (let ttl = this.hops.length + 1; ttl < hop.packets_ttl; ttl += 1)
        this.hops.push({ packets_ttl: ttl, packets_sent: 0, packets_lost: 0, nodes: [] });
      this.hops[hop.packets_ttl - 1] = hop;
    }
    this.summary = summary;
    this.version += 1;
  }

  /** The row as the API has it. */
  replace(row, done) {
    this.city = row.colo.city;
    this.error = row.error;
    this.hops = row.hops;
    this.links = row.links ?? [];
    this.summary = row.target_summary;
    this.ms = row.traceroute_time_ms;
    this.done = done;
    this.version += 1;
  }
}

/** What is known of a measurement. Whoever reads `version` is told of every change. */
export class Measurement {
  #remarks = new Map(); // by the pointer to their row

  constructor() {
    /** As in `result_info`; null until the first event. */
    this.summary = null;
    /** @type {Map<string, Row>} by 'TARGET/COLO', indexes of the summary's lists, in their order */
    this.rows = new Map();
    /** How many rows have ended. */
    this.finished = 0;
    this.version = signal(0);
  }

  /** The measurement of an answer: `ask('/ID')`. */
  static of({ result, info, messages }) {
    const found = new Measurement();
    found.#begin(info);
    const done = info.status !== 'running';
    for (const [target, { colos }] of result.entries())
      for (const [colo, row] of colos.entries()) found.#replace({ target, colo, row }, done);
    for (const each of messages) found.#told(each);
    return found;
  }

  /** Apply an event of the stream. */
  apply(kind, data) {
    if (kind === 'start') this.#begin(data.measurement);
    else if (kind === 'end') this.summary = data.measurement;
    else if (kind === 'message') this.#told(data);
    else if (kind === 'hops')
      this.row(data.target, data.colo).merge(data.hops, data.target_summary, data.fresh);
    else if (kind === 'row') this.#replace(data, true);
    this.version.value += 1;
  }

  #replace({ target, colo, row }, done) {
    const found = this.row(target, colo);
    this.finished += Number(done) - Number(found.done);
    found.replace(row, done);
  }

  #begin(summary) {
    this.summary = summary;
    this.finished = 0;
    this.#remarks = new Map();
    this.rows = new Map();
    for (const target of summary.targets.keys())
      for (const [colo, name] of summary.colos.entries())
        this.rows.set(`${target}/${colo}`, new Row(target, colo, name));
  }

  #told(message) {
    const pointer = message.source?.pointer ?? '';
    if (message.code !== SKIPPED) this.#remarks.set(pointer, [...(this.#remarks.get(pointer) ?? []), message.message]);
  }

  /** @returns {Row} */
  row(target, colo) {
    return this.rows.get(`${target}/${colo}`);
  }

  /** The rows of a target, in the order of the request. */
  of(target) {
    return this.summary.colos.map((_, colo) => this.row(target, colo));
  }

  get running() {
    return this.summary?.status === 'running';
  }

  /** What messages say about a row, or about the whole (`null`), in words. */
  remarks(row) {
    const found = this.#remarks.get(row ? `/result/${row.target}/colos/${row.colo}` : '') ?? [];
    return row ? found.map((words) => words.replace(`${row.name}: `, '')) : found;
  }
}
