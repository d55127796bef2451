// Numbers, times and counts in words, in the user's locale.
import { html } from './html.js';

const formats = new Map();

function number(value, digits) {
  let format = formats.get(digits);
  if (!format) {
    format = new Intl.NumberFormat(undefined, {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
    formats.set(digits, format);
  }
  return format.format(value).replace('-', '−');
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
// Words are in the page's language; only numbers and dates follow the user's locale.
const AGO = new Intl.RelativeTimeFormat('en-GB', { numeric: 'auto', style: 'short' });
const STEPS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

/** Milliseconds as a number without its unit: three significant digits, or whole from 100 on, and
 * at least microseconds. */
export function figure(milliseconds) {
  const size = Math.abs(milliseconds);
  return number(milliseconds, size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || !size ? 2 : 3);
}

/** Milliseconds with their unit. */
export function ms(milliseconds) {
  return `${figure(milliseconds)} ms`;
}

/** A part of one as percent. */
export function percent(part) {
  const hundredths = part * 100;
  return `${number(hundredths, hundredths > 0 && hundredths < 1 ? 1 : 0)} %`;
}

/** A whole number. */
export function whole(value) {
  return number(value, 0);
}

/** A number and its noun: `count(2, 'colo')` is "2 colos". */
export function count(value, noun, plural = `${noun}s`) {
  return `${whole(value)} ${value === 1 ? noun : plural}`;
}

/** A size in bytes. */
export function bytes(value) {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const step = value < 1_000 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), units.length - 1);
  return `${number(value / 1_000 ** step, step ? 1 : 0)} ${units[step]}`;
}

/** A duration given in milliseconds, for times that people wait. */
export function lasted(milliseconds) {
  return milliseconds < 1_000 ? `${whole(milliseconds)} ms` : `${number(milliseconds / 1_000, 1)} s`;
}

/** How long ago a time of RFC 3339 was, or how soon it will be. */
export function ago(iso, now = Date.now()) {
  const seconds = (Date.parse(iso) - now) / 1_000;
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? STEPS.at(-1);
  return AGO.format(Math.trunc(seconds / size), unit);
}

/** A time of RFC 3339 as date and time of the user's zone. */
export function date(iso) {
  return DATE.format(Date.parse(iso));
}

/** A time of RFC 3339 as an element that shows how long ago it was. */
export function when(iso) {
  return html`<time datetime=${iso} title=${date(iso)}>${ago(iso)}</time>`;
}

/** A time of RFC 3339 as an element that shows date and time, for lists. */
export function stamp(iso) {
  return html`<time datetime=${iso} title=${ago(iso)}>${date(iso)}</time>`;
}
