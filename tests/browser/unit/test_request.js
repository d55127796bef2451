import { equal } from './assert.js';
import { OPTIONS, byField, chosen, faultsOf, packets, paramsOf, requestsOf } from '../model/request.js';

const COLOS = [
  { name: 'den01', city: 'Denver, CO, US', state: 'up' },
  { name: 'den02', city: 'Denver, CO, US', state: 'draining' },
  { name: 'fra01', city: 'Frankfurt, DE', state: 'up' },
  { name: 'sin01', city: 'Singapore, SG', state: 'down' },
];
const names = (entries, tagged = () => false) => chosen(entries, COLOS, tagged).colos.map(({ name }) => name);

export function test_pasted_targets_are_separated_and_told_once() {
  equal(requestsOf({ targets: 'a, b;c\n\ta' }), [{ targets: ['a', 'b', 'c'] }]);
}

export function test_helps_have_no_full_stop_for_the_form_adds_one() {
  equal(Object.entries(OPTIONS).filter(([, { help }]) => help.endsWith('.')), []);
}

export function test_more_than_ten_targets_are_several_requests() {
  const targets = Array.from({ length: 21 }, (_, number) => `t${number}`).join(' ');
  equal(requestsOf({ targets, from: 'den' }).map((each) => each.targets.length), [10, 10, 1]);
  equal(requestsOf({ targets, from: 'den' })[2].colos, ['den']);
}

export function test_only_what_differs_from_the_standard_is_sent() {
  const params = { targets: 'a', max_ttl: '15', packet_type: 'tcp', port: '443', multipath: 'true', family: '6' };
  equal(requestsOf(params)[0].options, { packet_type: 'tcp', port: 443, family: 6, multipath: true });
}

export function test_request_of_a_measurement_is_the_same_again() {
  const params = { targets: 'a b', from: 'den sin', packet_type: 'udp', max_ttl: '20' };
  const [{ targets, colos, options }] = requestsOf(params);
  equal(paramsOf({ targets, colos, options }), params);
}

export function test_values_outside_their_bounds_are_named() {
  equal(Object.keys(faultsOf({ targets: '', max_ttl: '65', port: '-1', wait_time: '1.5', packets_per_ttl: '10' })), [
    'targets',
    'max_ttl',
    'wait_time',
    'port',
  ]);
}

export function test_errors_are_shown_at_their_field() {
  const at = (pointer, message) => ({ message, source: { pointer } });
  equal(byField([at('/targets/0', 'a'), at('/targets/1', 'b'), at('/options/port', 'c'), at('/colos/0', 'd'), { message: 'e' }]), {
    targets: 'a; b',
    port: 'c',
    from: 'd',
    '': 'e',
  });
}

export function test_errors_name_the_entry_that_was_typed() {
  const errors = [{ message: 'targets[1] is no host', source: { pointer: '/targets/1' } }];
  equal(byField(errors, { targets: ['a', 'b/$&'] }), { targets: 'b/$& is no host' });
  const unknown = [{ message: 'no valid colo', source: { pointer: '/colos/1' } }];
  equal(byField(unknown, { colos: ['den', 'ams'] }), { from: 'ams: no valid colo' });
}

export function test_names_and_codes_unite_and_selectors_narrow() {
  equal(names([]), ['den01', 'fra01']);
  equal(names(['DEN', 'fra01']), ['den01', 'fra01']);
  equal(names(['den', 'fra', 'country:de']), ['fra01']);
  equal(names(['city:denver']), ['den01']);
  equal(names(['limit:1']), ['den01']);
  equal(names(['tag:provider=x'], (colo, tag) => colo === 'fra01' && tag === 'provider=x'), ['fra01']);
  equal(chosen(['xyz', 'planet:Mars'], COLOS, () => false).unknown, ['xyz', 'planet:Mars']);
}

export function test_packets_are_those_of_all_rows() {
  equal(packets({ targets: 'a b' }, 2), 2 * 2 * 15 * 3);
  equal(packets({ targets: 'a', packet_type: 'gre+icmp', max_ttl: '10' }, 1), 2 * 10 * 3);
}

/** For the test that compares them with the API's description. */
export function bounds() {
  return OPTIONS;
}
