import { assert, equal } from './assert.js';
import { asCli, asCliOf, asCurl, asCurlOf, asPython, asPythonOf } from '../model/snippets.js';

const WHERE = { url: 'https://c.example/client/v4', account: 'acme' };
const REQUEST = { targets: ["it's.example", 'b'], colos: ['den', 'limit:2'], options: { max_ttl: 20, family: 6, multipath: true } };

export function test_quotes_cannot_leave_the_argument() {
  assert(asCurl(REQUEST, 'https://c.example/x').includes(`"it'\\''s.example"`));
  assert(asCli(REQUEST, WHERE).includes(`'it'\\''s.example'`));
}

export function test_command_has_all_choices() {
  equal(
    asCli({ ...REQUEST, targets: ['a'] }, WHERE).split('\n')[1],
    'colotrace trace a --from den,limit:2 --max-ttl 20 -6 --multipath',
  );
}

export function test_python_has_its_own_words_for_true() {
  const text = asPython({ targets: ['a'], options: { multipath: true } }, WHERE);
  assert(text.includes('options={"multipath": True},'), text);
}

export function test_measurement_is_named_to_each_client() {
  const where = { url: 'https://c.example', account: 'a b' };
  equal(asCurlOf('https://c.example/x/ID'), `curl 'https://c.example/x/ID' -H "Authorization: Bearer $COLOTRACE_TOKEN"`);
  assert(asCliOf('ID', where).endsWith("COLOTRACE_ACCOUNT='a b'  # and COLOTRACE_TOKEN\ncolotrace show ID"));
  assert(asPythonOf('ID', where).endsWith('print(client.get("/accounts/a%20b/diagnostics/traceroute/ID", cast_to=object))'));
}
