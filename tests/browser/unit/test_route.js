import { equal } from './assert.js';
import { choiceOf, href, parse } from '../core/route.js';

const ID = '01a22402998e70009e3a937a4e11b155';

export function test_url_without_a_view_is_the_form() {
  for (const hash of ['', '#', '#/', '#/acme', '#/acme/']) equal(parse(hash).view, 'trace', hash);
}

export function test_link_shows_the_same_again() {
  const link = href('m', { account: 'a/b', ids: [ID], params: { view: 'graph', target: 'x?&=é', hop: 0 } });
  equal(parse(link), {
    view: 'm',
    account: 'a/b',
    ids: [ID],
    params: { view: 'graph', target: 'x?&=é', hop: '0' },
  });
}

export function test_empty_choices_are_not_in_the_link() {
  equal(href('fleet', { account: 'a', params: { q: '', sort: undefined } }), '#/a/fleet');
}

export function test_what_names_nothing_has_no_view() {
  for (const hash of ['#/a/other', '#/a/m', '#/a/m/xyz', `#/a/compare/${ID}`, `#/a/m/${ID}/${ID}`])
    equal(parse(hash).view, '', hash);
}

export function test_what_every_object_has_is_no_choice() {
  const choices = { graph: 'Graph', rows: 'Rows' };
  for (const wanted of ['__proto__', 'constructor', 'toString', '', undefined])
    equal(choiceOf(choices, wanted, 'graph'), 'graph', wanted);
  equal(choiceOf(choices, 'rows', 'graph'), 'rows');
}

export function test_broken_escapes_do_no_harm() {
  equal(parse('#/%E0%A4%A/m/x').view, 'trace');
}
