import assert from 'node:assert/strict';
import { canonicalQuantity, Quantity, QuantityError } from '../../../api/quantity.ts';
import { int, pick, seeded } from './gen.ts';

describe('Quantity', () => {
  const canonical: [string | number, string][] = [
    ['1000m', '1'],
    ['0.5', '500m'],
    [0.5, '500m'],
    [2, '2'],
    [1e21, '1e21'],
    ['1.5Gi', '1536Mi'],
    ['1024Mi', '1Gi'],
    ['1Ki', '1Ki'],
    ['1024', '1024'],
    ['2000', '2k'],
    ['1e3', '1e3'],
    ['1e4', '10e3'],
    ['1E3', '1E3'],
    ['12E', '12E'],
    ['0.1m', '100u'],
    ['0.1n', '1n'],
    ['-0.5', '-500m'],
    ['0', '0'],
    ['0.000', '0'],
    ['.5', '500m'],
    ['0.5Ki', '512'],
    ['0.0001Ki', '102400u'],
    ['99999999999Ei', '9223372036854775807'],
    ['123456789012345678901', '123456789012345678901'],
    ['1.25Mi', '1280Ki'],
    ['1000Ki', '1000Ki'],
    ['1000000m', '1k'],
    ['1e-12', '1e-9'],
    ['+5', '+5'],
    ['k', '0'],
  ];
  for (const [given, expected] of canonical) {
    it(`writes ${JSON.stringify(given)} as ${expected}`, () => assert.equal(canonicalQuantity(given), expected));
  }

  for (const text of [
    '',
    'x',
    '1x',
    '1mm',
    '1Mi3',
    '--1',
    '1 ',
    ' 1',
    '1e',
    '1.2.3',
    '1500MX',
    'Ei',
    '1e5000',
    '0x10',
    '١',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => Quantity.parse(text), QuantityError);
      assert.equal(Quantity.tryParse(text), undefined);
    });
  }

  const random = (r: ReturnType<typeof seeded>) => {
    const fraction = r.next() < 0.4 ? `.${int(r, 0, 999)}` : '';
    const suffixes = ['', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'P', 'E', 'Ki', 'Mi', 'Gi', 'Ti', 'e3', 'e-3'];
    return `${pick(r, ['', '', '-'])}${int(r, 0, 99_999)}${fraction}${pick(r, suffixes)}`;
  };

  it('keeps the amount when it is written and read again', () => {
    const r = seeded(4);
    for (let i = 0; i < 3000; i++) {
      const text = random(r);
      const q = Quantity.parse(text);
      // 1000E has no suffix of its own, as in Go.
      if (q.nanos >= 10n ** 30n || q.nanos <= -(10n ** 30n)) continue;
      const again = Quantity.parse(q.toString());
      assert.equal(again.nanos, q.nanos, text);
      assert.equal(canonicalQuantity(text), q.toString(), text);
    }
  });

  it('adds, subtracts and compares exactly', () => {
    const r = seeded(5);
    for (let i = 0; i < 1000; i++) {
      const a = Quantity.parse(random(r));
      const b = Quantity.parse(random(r));
      const sum = a.add(b);
      assert.equal(sum.nanos, a.nanos + b.nanos);
      assert.ok(sum.sub(b).equals(a));
      assert.equal(a.compare(b), -b.compare(a) + 0);
      assert.equal(Math.sign(Number(a.nanos - b.nanos)), a.compare(b));
    }
    assert.equal(Quantity.parse('1Gi').add(Quantity.parse('1Gi')).toString(), '2Gi');
    assert.equal(Quantity.zero.add(Quantity.parse('1Ki')).toString(), '1Ki');
    assert.equal(Quantity.parse('100m').add(Quantity.parse('0.9')).toString(), '1');
    assert.equal(Quantity.parse('1').sub(Quantity.parse('1500m')).toString(), '-500m');
  });

  it('rounds whole and milli values up', () => {
    assert.equal(Quantity.parse('1.1').asInteger(), 2n);
    assert.equal(Quantity.parse('0.1m').asMilli(), 1n);
    assert.equal(Quantity.parse('1500m').asMilli(), 1500n);
    assert.equal(Quantity.parse('2Gi').asInteger(), 2147483648n);
    assert.equal(Quantity.parse('250m').asNumber(), 0.25);
    assert.equal(Quantity.parse('1Gi').asNumber(), 1073741824);
    assert.equal(Quantity.fromMilli(1500).toString(), '1500m');
    assert.equal(Quantity.fromInteger(1048576, 'BinarySI').toString(), '1Mi');
  });
});
