import assert from 'node:assert/strict';
import { CelError, createCelEnv, declTypeOf, DYN, escapeField, toJson, unescapeField } from '../../../api/cel/index.ts';
import type { JsonValue } from '../../../api/types.ts';

const env = createCelEnv({ variables: { x: DYN } });
const value = (source: string): JsonValue => toJson(env.compile(source).evaluate({}).value);

describe('CEL: libraries', () => {
  const truths = [
    // strings
    '"tacocat".indexOf("c", 3) == 4 && "tacocat".lastIndexOf("a") == 5 && "tacocat".charAt(3) == "o"',
    '"a,b,c".split(",", 2) == ["a", "b,c"] && ["a", "b"].join("-") == "a-b"',
    '"hello hello".replace("he", "we", 1) == "wello hello" && "tacocat".substring(4) == "cat"',
    '" \\u00a0x ".trim() == "x" && "TacoCat".lowerAscii() == "tacocat" && "é".upperAscii() == "é"',
    '"%s has %d items, %.2f %x %b".format(["it", 3, 1.5, 255, 5]) == "it has 3 items, 1.50 ff 101"',
    '"%s".format([[1, {"b": true, "a": null}]]) == "[1, {a: null, b: true}]"',
    'strings.quote("a\\"b\\n") == "\\"a\\\\\\"b\\\\n\\""',
    '"abc 123 45".find("[0-9]+") == "123" && "1 22 333".findAll("[0-9]+", 2) == ["1", "22"]',
    // lists and sets
    '[1, 2, 2].isSorted() && ![2, 1].isSorted() && [1, 2, 3].sum() == 6 && [3, 1, 2].max() == 3',
    '[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(9) == -1',
    '[1, 2, 3].slice(1, 3) == [2, 3] && [dyn([dyn(1), [2]]), 3].flatten() == [dyn(1), [2], 3] && [dyn(1), 1.0, 2].distinct() == [1, 2]',
    '[3, 1, 2].sort() == [1, 2, 3] && ["bb", "a"].sortBy(s, size(s)) == ["a", "bb"] && lists.range(3).reverse() == [2, 1, 0]',
    'sets.contains([1, 2, 3], [3, 1]) && sets.equivalent([dyn(1), 1], [1u]) && !sets.intersects([1], [2])',
    // URLs
    'url("https://user@example.com:80/a%20b?k=1&k=2#f").getHost() == "example.com:80"',
    'url("https://[::1]:8080/").getHostname() == "::1" && url("https://[::1]:8080/").getPort() == "8080"',
    'url("https://h/a%20b?x=1").getEscapedPath() == "/a%20b" && url("/p?k=1&k=2").getQuery() == {"k": ["1", "2"]}',
    'isURL("https://a") && isURL("/path") && !isURL("a b") && !isURL("rel/path")',
    // addresses
    'ip("192.168.0.1").family() == 4 && ip("::1").isLoopback() && ip("fe80::1").isLinkLocalUnicast()',
    'ip("2001:db8:0:0::1") == ip("2001:DB8::1") && string(ip("2001:DB8:0::1")) == "2001:db8::1"',
    'ip.isCanonical("2001:db8::1") && !ip.isCanonical("2001:DB8::1") && !isIP("1.2.3") && !isIP("::ffff:1.2.3.4") && !isIP("fe80::1%eth0")',
    'ip("0.0.0.0").isUnspecified() && ip("224.0.0.1").isLinkLocalMulticast() && ip("8.8.8.8").isGlobalUnicast()',
    'cidr("10.0.0.0/8").containsIP("10.1.2.3") && !cidr("10.0.0.0/8").containsIP(ip("11.0.0.0"))',
    'cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && !cidr("10.1.0.0/16").containsCIDR(cidr("10.0.0.0/8"))',
    'cidr("10.1.2.3/8").masked() == cidr("10.0.0.0/8") && cidr("::/0").prefixLength() == 0 && !isCIDR("10.0.0.0/33")',
    'string(cidr("192.168.1.1/24").ip()) == "192.168.1.1" && string(cidr("192.168.1.1/24").masked()) == "192.168.1.0/24"',
    // quantities
    'quantity("1Gi").isGreaterThan(quantity("1G")) && quantity("500m").compareTo(quantity("0.5")) == 0',
    'quantity("50k").add(20000) == quantity("70k") && quantity("1").sub(quantity("2")).sign() == -1',
    'quantity("2k").asInteger() == 2000 && !quantity("1500m").isInteger() && quantity("1500m").asApproximateFloat() == 1.5',
    'isQuantity("1.3Gi") && !isQuantity("1.3GB") && quantity("1") == quantity("1000m")',
    // formats
    '!format.dns1123Label().validate("ok-1").hasValue() && format.dns1123Label().validate("Not").hasValue()',
    'format.named("uuid").value().validate("not").value() == ["does not match the UUID format"] && !format.named("nope").hasValue()',
    '!format.dns1035LabelPrefix().validate("ab-").hasValue() && !format.date().validate("2024-02-29").hasValue() && format.date().validate("2023-02-29").hasValue()',
    // versions
    'semver("1.2.3-rc.1").isLessThan(semver("1.2.3")) && semver("1.10.0").compareTo(semver("1.9.0")) == 1',
    'semver("v1.02", true) == semver("1.2.0") && !isSemver("v1.2") && isSemver("v1", true) && semver("4.5.6").minor() == 5',
    'semver("1.0.0-alpha.2").isLessThan(semver("1.0.0-alpha.10")) && semver("1.0.0+a") == semver("1.0.0+b")',
    'jsonpatch.escapeKey("a/b~c") == "a~1b~0c" && type(quantity("1")) == kubernetes.Quantity && type(ip("::")) == net.IP',
  ];
  for (const source of truths) it(source, () => assert.equal(value(source), true));
  for (const source of [
    'quantity("x")',
    'ip("x")',
    'cidr("10.0.0.0")',
    'url("x")',
    'semver("1.2")',
    'quantity("1.5").asInteger()',
    '[].min()',
    '"abc".substring(5)',
    '"%d".format(["x"])',
    '"%s".format([])',
  ]) {
    it(`${source} is an error`, () => assert.throws(() => value(source), CelError));
  }
});

describe('CEL: values of declared types', () => {
  const type = declTypeOf(
    {
      type: 'object',
      properties: {
        when: { type: 'string', format: 'date-time' },
        day: { type: 'string', format: 'date' },
        every: { type: 'string', format: 'duration' },
        raw: { type: 'string', format: 'byte' },
        ratio: { type: 'number' },
        'a.b-c': { type: 'integer' },
        in: { type: 'string' },
        port: { 'x-kubernetes-int-or-string': true },
        list: { type: 'array', items: { type: 'object', properties: { n: { type: 'integer' } } } },
        labels: { type: 'object', additionalProperties: { type: 'string' } },
      },
    },
    'spec',
  );
  const custom = createCelEnv({ variables: { self: type } });
  const holds = (source: string, json: JsonValue) => custom.compile(source).evaluate({ self: { json } }).value;

  it('strings with formats become times, durations and bytes', () => {
    const self = { when: '2024-01-02T03:04:05Z', day: '2024-01-02', every: '90m', raw: 'aGk=' };
    assert.equal(
      holds(
        'self.when.getHours() == 3 && self.day < self.when && self.every == duration("1.5h") && self.raw == b"hi"',
        self,
      ),
      true,
    );
  });
  it('a number is a double where the schema says so', () =>
    assert.equal(holds('self.ratio == 2.0 && type(self.ratio) == double', { ratio: 2 }), true));
  it('properties that are no names are escaped', () => {
    assert.equal(
      holds('self.a__dot__b__dash__c == 5 && self.__in__ == "x" && has(self.a__dot__b__dash__c)', {
        'a.b-c': 5,
        in: 'x',
      }),
      true,
    );
    for (const name of ['a.b', 'x-y/z', 'a__b', 'namespace', 'plain', '__x'])
      assert.equal(unescapeField(escapeField(name)), name);
  });
  it('int-or-string is what it is', () => {
    assert.equal(holds('type(self.port) == string ? self.port == "http" : self.port == 80', { port: 80 }), true);
    assert.equal(holds('type(self.port) == string ? self.port == "http" : self.port == 80', { port: 'http' }), true);
  });
  it('lists and maps keep their element types', () => {
    assert.equal(
      holds('self.list.all(i, i.n > 0) && self.labels.all(k, self.labels[k] != "")', {
        list: [{ n: 1 }],
        labels: { a: 'b' },
      }),
      true,
    );
  });
  it('sets and lists with keys compare and add up by their items', () => {
    const item = { type: 'object', properties: { k: { type: 'string' }, v: { type: 'integer' } } };
    const type = declTypeOf({
      type: 'object',
      properties: {
        set: { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' },
        map: { type: 'array', items: item, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['k'] },
        plain: { type: 'array', items: item },
      },
    });
    const two = createCelEnv({ variables: { self: type, oldSelf: type } });
    const x = { k: 'x', v: 1 };
    const y = { k: 'y', v: 2 };
    const bindings = {
      self: { json: { set: ['a', 'b'], map: [x, y], plain: [x, y] } },
      oldSelf: { json: { set: ['b', 'a'], map: [y, x], plain: [y, x] } },
    };
    for (const source of [
      'self.set == ["b", "a"] && self.set + ["b", "c"] == ["a", "b", "c"] && self.set != ["a"]',
      'self.set == oldSelf.set && self.map == oldSelf.map && self.plain != oldSelf.plain',
      '(self.map + oldSelf.map).map(i, i.v) == [1, 2] && (self.plain + oldSelf.plain).size() == 4',
    ]) {
      assert.equal(two.compile(source).evaluate(bindings).value, true, source);
    }
  });
  it('a list that a loop made is not changed by what is added to it', () => {
    const made = createCelEnv({ variables: { x: DYN } })
      .compile('[1, 2].map(i, i)')
      .evaluate({}).value;
    const add = createCelEnv({ variables: { x: DYN } }).compile('(x + [3]).size() + (x + [4]).size()');
    assert.equal(add.evaluate({ x: { cel: made } }).value, 6n);
  });
  it('what is computed lazily is computed once', () => {
    let calls = 0;
    const lazy = { value: () => (calls++, 21n) };
    const program = createCelEnv({ variables: { v: DYN } }).compile('v + v');
    assert.equal(program.evaluate({ v: lazy }).value, 42n);
    assert.equal(calls, 1);
  });
});
