import assert from 'node:assert/strict';
import { parseFieldSelector } from '../../../api/field-selectors.ts';
import {
  compileLabelSelector,
  compileLabelSet,
  formatLabelSelector,
  parseLabelSelector,
  SelectorError,
} from '../../../api/selectors.ts';

describe('label selectors', () => {
  const canonical: [string, string][] = [
    ['a in ()', 'a in ()'],
    ['', ''],
    ['a', 'a'],
    ['!a', '!a'],
    ['  x  =  y , !z ', 'x=y,!z'],
    ['b==1,a!=2', 'a!=2,b==1'],
    ['a in (c,b,b)', 'a in (b,c)'],
    ['a notin (b,)', 'a notin (,b)'],
    ['a in (,x)', 'a in (,x)'],
    ['a>1,b<2', 'a>1,b<2'],
    ['in in (in)', 'in in (in)'],
    ['notin=in', 'notin=in'],
    ['a=,b', 'a=,b'],
    ['example.com/a=x', 'example.com/a=x'],
  ];
  for (const [text, expected] of canonical) {
    it(`reads ${JSON.stringify(text)} as ${JSON.stringify(expected)}`, () => {
      const s = parseLabelSelector(text);
      assert.equal(s.toString(), expected);
      assert.equal(parseLabelSelector(expected).toString(), expected);
    });
  }

  const broken: [string, RegExp][] = [
    ['a,', /expected: identifier after ','/],
    ['a b', /found 'b', expected: in, notin, =, ==, !=, gt, lt/],
    ['a in b', /found 'b' expected: '\('/],
    ['=a', /expected: !, identifier, or 'end of string'/],
    ['a=b=c', /found '=', expected: ',' or 'end of string'/],
    ['!', /found '', expected: identifier/],
    ['a>b', /must be an integer/],
    ['a=-x', /values\[0\]\[a\]: Invalid value: "-x"/],
    ['a/b/c', /Invalid value: "a\/b\/c"/],
    ['a in (b', /found '', expected: ',' or '\)'/],
    [`${'x'.repeat(64)}=1`, /63/],
  ];
  for (const [text, message] of broken) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseLabelSelector(text),
        (e) => e instanceof SelectorError && message.test(e.message),
      );
    });
  }

  const matching: [string, Record<string, string> | undefined, boolean][] = [
    ['', undefined, true],
    ['a=1', { a: '1' }, true],
    ['a=1', { a: '2' }, false],
    ['a!=1', {}, true],
    ['a!=1', { a: '1' }, false],
    ['a notin (1)', {}, true],
    ['a in (1,2)', { a: '2' }, true],
    ['a in (1,2)', {}, false],
    ['a', { a: '' }, true],
    ['!a', { a: '' }, false],
    ['a=', { a: '' }, true],
    ['a=', {}, false],
    ['a>5', { a: '10' }, true],
    ['a>5', { a: '5' }, false],
    ['a<5', { a: 'x' }, false],
    ['a<5', { a: '-1' }, true],
    ['a=1,b=2', { a: '1' }, false],
    ['toString', {}, false],
    ['!constructor', {}, true],
  ];
  for (const [text, labels, expected] of matching) {
    it(`${JSON.stringify(text)} ${expected ? 'matches' : 'does not match'} ${JSON.stringify(labels)}`, () => {
      assert.equal(parseLabelSelector(text).matches(labels), expected);
    });
  }

  it('compiles LabelSelector objects', () => {
    const s = {
      matchLabels: { b: '2', a: '1' },
      matchExpressions: [
        { key: 'x', operator: 'In', values: ['q', 'p'] },
        { key: 'y', operator: 'DoesNotExist' },
      ],
    };
    assert.equal(formatLabelSelector(s), 'a=1,b=2,x in (p,q),!y');
    assert.equal(compileLabelSelector(s).matches({ a: '1', b: '2', x: 'p' }), true);
    assert.equal(compileLabelSelector(s).matches({ a: '1', b: '2', x: 'p', y: '' }), false);
    assert.equal(compileLabelSelector(undefined).matches({ a: '1' }), false);
    assert.equal(compileLabelSelector(undefined).isNothing, true);
    assert.equal(compileLabelSelector({}).isEverything, true);
    assert.equal(formatLabelSelector({}), '<none>');
    assert.equal(formatLabelSelector({ matchExpressions: [{ key: 'x', operator: 'Near' }] }), '<error>');
    assert.throws(
      () => compileLabelSelector({ matchExpressions: [{ key: 'x', operator: 'In', values: [] }] }),
      SelectorError,
    );
  });

  it('tells what an index can use', () => {
    const s = parseLabelSelector('app=web,tier in (a,b),!x');
    assert.equal(s.exact('app'), 'web');
    assert.equal(s.exact('tier'), undefined);
    assert.deepEqual(s.anyOf('tier'), ['a', 'b']);
    assert.equal(s.anyOf('x'), undefined);
  });

  it('takes plain label sets', () => {
    assert.equal(compileLabelSet({ a: '1', b: '2' }).matches({ a: '1', b: '2', c: '3' }), true);
    assert.equal(compileLabelSet({ a: '1' }).matches({}), false);
  });
});

describe('field selectors', () => {
  it('reads terms, escapes and operators', () => {
    const s = parseFieldSelector('metadata.name=a\\,b,spec.x!=\\=,c==d,');
    assert.deepEqual(s.requirements, [
      { field: 'c', operator: '=', value: 'd' },
      { field: 'metadata.name', operator: '=', value: 'a,b' },
      { field: 'spec.x', operator: '!=', value: '=' },
    ]);
    assert.equal(s.toString(), 'c=d,metadata.name=a\\,b,spec.x!=\\=');
    assert.equal(s.exact('metadata.name'), 'a,b');
    assert.equal(s.exact('spec.x'), undefined);
    assert.equal(parseFieldSelector('').isEverything, true);
  });

  it('matches absent fields as empty', () => {
    const s = parseFieldSelector('spec.nodeName=,status.phase!=Failed');
    assert.equal(s.matches({}), true);
    assert.equal(s.matches({ 'status.phase': 'Failed' }), false);
    assert.equal(s.matches({ 'spec.nodeName': 'n1' }), false);
  });

  for (const text of ['a', 'a=b=c', 'a=\\x', 'a=b\\']) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseFieldSelector(text), SelectorError));
  }
});
