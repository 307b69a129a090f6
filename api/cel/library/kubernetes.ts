/** kube-apiserver's quantities, formats and semantic versions. */
import { Quantity } from '../../quantity.ts';
import {
  isDNS1035Label,
  isDNS1123Label,
  isDNS1123Subdomain,
  isLabelValue,
  isQualifiedName,
  withoutTrailingDash,
} from '../../validation/names.ts';
import { type Functions, fn, method } from '../functions.ts';
import { ArrayList, CelError, INT_MAX, INT_MIN, OpaqueValue, OptionalValue, type Value } from '../values.ts';

/** A quantity as expressions have it; equal when the amounts are. */
export class QuantityValue extends OpaqueValue {
  readonly typeName = 'kubernetes.Quantity';
  readonly quantity: Quantity;
  constructor(quantity: Quantity) {
    super();
    this.quantity = quantity;
  }
  override equals(other: Value): boolean {
    return other instanceof QuantityValue && other.quantity.equals(this.quantity);
  }
}
const WHOLE = 1_000_000_000n;
function toQuantity(text: string): QuantityValue {
  const quantity = Quantity.tryParse(text);
  if (quantity === undefined)
    throw new CelError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  return new QuantityValue(quantity);
}
/** The exact integer; undefined when there is a fraction or it is too large. */
function integerOf({ quantity }: QuantityValue): bigint | undefined {
  const value = quantity.asInteger();
  const exact = Quantity.fromInteger(value).equals(quantity);
  return exact && value >= INT_MIN && value <= INT_MAX ? value : undefined;
}
const Q = 'kubernetes.Quantity';
const add = (a: QuantityValue, b: QuantityValue) => new QuantityValue(a.quantity.add(b.quantity));
const sub = (a: QuantityValue, b: QuantityValue) => new QuantityValue(a.quantity.sub(b.quantity));
const whole = (n: bigint) => new QuantityValue(Quantity.fromNanos(n * WHOLE));
const compareQuantities = (a: QuantityValue, b: QuantityValue): number => a.quantity.compare(b.quantity);

const QUANTITIES: Functions = {
  quantity: [fn('string_to_quantity', ['string'], Q, toQuantity)],
  isQuantity: [fn('is_quantity_string', ['string'], 'bool', (s: string) => Quantity.tryParse(s) !== undefined)],
  sign: [method('quantity_sign', [Q], 'int', (q: QuantityValue) => BigInt(q.quantity.sign))],
  isGreaterThan: [
    method(
      'quantity_is_greater_than',
      [Q, Q],
      'bool',
      (a: QuantityValue, b: QuantityValue) => compareQuantities(a, b) > 0,
    ),
  ],
  isLessThan: [
    method(
      'quantity_is_less_than',
      [Q, Q],
      'bool',
      (a: QuantityValue, b: QuantityValue) => compareQuantities(a, b) < 0,
    ),
  ],
  compareTo: [
    method('quantity_compare_to', [Q, Q], 'int', (a: QuantityValue, b: QuantityValue) =>
      BigInt(compareQuantities(a, b)),
    ),
  ],
  asApproximateFloat: [method('quantity_get_float', [Q], 'double', (q: QuantityValue) => q.quantity.asNumber())],
  asInteger: [
    method('quantity_get_int', [Q], 'int', (q: QuantityValue) => {
      const value = integerOf(q);
      if (value === undefined) throw new CelError('cannot convert value to integer');
      return value;
    }),
  ],
  isInteger: [method('quantity_is_integer', [Q], 'bool', (q: QuantityValue) => integerOf(q) !== undefined)],
  add: [
    method('quantity_add', [Q, Q], Q, add),
    method('quantity_add_int', [Q, 'int'], Q, (q: QuantityValue, n: bigint) => add(q, whole(n))),
  ],
  sub: [
    method('quantity_sub', [Q, Q], Q, sub),
    method('quantity_sub_int', [Q, 'int'], Q, (q: QuantityValue, n: bigint) => sub(q, whole(n))),
  ],
};

class FormatValue extends OpaqueValue {
  readonly typeName = 'kubernetes.NamedFormat';
  readonly name: string;
  readonly maxRegexSize: number;
  readonly check: (text: string) => readonly string[];
  constructor(name: string, maxRegexSize: number, check: (text: string) => readonly string[]) {
    super();
    this.name = name;
    this.maxRegexSize = maxRegexSize;
    this.check = check;
  }
}
const test = (pattern: RegExp, message: string) => (s: string) => (pattern.test(s) ? [] : [message]);
const prefix = (check: (s: string) => string[]) => (s: string) => check(withoutTrailingDash(s));
const isDate = (s: string): boolean =>
  /^\d{4}-\d{2}-\d{2}$/.test(s) && !Number.isNaN(Date.parse(s)) && new Date(s).toISOString().startsWith(s);
const DATE_TIME = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;
const URI = /^(?:[A-Za-z][A-Za-z0-9+.-]*:|\/)[^\s]*$/;
const FORMATS: ReadonlyMap<string, FormatValue> = new Map(
  (
    [
      ['dns1123Label', 30, isDNS1123Label],
      ['dns1123Subdomain', 60, isDNS1123Subdomain],
      ['dns1035Label', 30, isDNS1035Label],
      ['qualifiedName', 60, isQualifiedName],
      ['dns1123LabelPrefix', 30, prefix(isDNS1123Label)],
      ['dns1123SubdomainPrefix', 60, prefix(isDNS1123Subdomain)],
      ['dns1035LabelPrefix', 30, prefix(isDNS1035Label)],
      ['labelValue', 40, isLabelValue],
      ['uri', 1103, test(URI, 'invalid URI for request')],
      ['uuid', 66, test(/^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i, 'does not match the UUID format')],
      [
        'byte',
        84,
        test(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/, 'invalid base64'),
      ],
      ['date', 123, (s: string) => (isDate(s) ? [] : ['invalid date'])],
      ['datetime', 123, (s: string) => (DATE_TIME.test(s) && isDate(s.slice(0, 10)) ? [] : ['invalid datetime'])],
    ] as const
  ).map(([name, size, check]): [string, FormatValue] => [name, new FormatValue(name, size, check)]),
);
const FORMAT: Functions = {
  validate: [
    method('format-validate', ['kubernetes.NamedFormat', 'string'], 'optional', (f: FormatValue, s: string) => {
      const errors = f.check(s);
      return errors.length === 0 ? OptionalValue.NONE : new OptionalValue(new ArrayList(errors));
    }),
  ],
  'format.named': [
    fn('format-named', ['string'], 'optional', (name: string) => {
      const format = FORMATS.get(name);
      return format === undefined ? OptionalValue.NONE : new OptionalValue(format);
    }),
  ],
  ...Object.fromEntries(
    [...FORMATS].map(([name, f]) => [`format.${name}`, [fn(`format.${name}`, [], 'kubernetes.NamedFormat', () => f)]]),
  ),
};

/** https://semver.org */
class SemverValue extends OpaqueValue {
  readonly typeName = 'kubernetes.Semver';
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly pre: readonly string[];
  constructor(numbers: readonly [bigint, bigint, bigint], pre: readonly string[]) {
    super();
    this.numbers = numbers;
    this.pre = pre;
  }
  override equals(other: Value): boolean {
    return other instanceof SemverValue && compareSemver(this, other) === 0;
  }
}
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;

/** Undefined for what is no semantic version; `normalize` also takes `v1`, `1.2` and leading zeros. */
export function parseSemver(text: string, normalize: boolean): SemverValue | undefined {
  let s = text;
  if (normalize) {
    const parts = s.replace(/^v/, '').split('.');
    const three = [parts[0] ?? '', parts[1], parts.length > 2 ? parts.slice(2).join('.') : undefined];
    if (parts.length < 3 && /[+-]/.test(parts.at(-1)!)) return undefined;
    s = three.map((p) => (p ?? '0').replace(/^0+(?=\d)/, '')).join('.');
  }
  const m = SEMVER.exec(s);
  return m === null
    ? undefined
    : new SemverValue([BigInt(m[1]!), BigInt(m[2]!), BigInt(m[3]!)], m[4]?.split('.') ?? []);
}
function toSemver(text: string, normalize: boolean): SemverValue {
  const v = parseSemver(text, normalize);
  if (v === undefined) throw new CelError(`invalid semantic version: ${JSON.stringify(text)}`);
  return v;
}
function compareSemver(a: SemverValue, b: SemverValue): number {
  for (let i = 0; i < 3; i++) if (a.numbers[i] !== b.numbers[i]) return a.numbers[i]! < b.numbers[i]! ? -1 : 1;
  if (a.pre.length === 0 || b.pre.length === 0)
    return Math.sign(Number(a.pre.length === 0) - Number(b.pre.length === 0));
  for (let i = 0; i < Math.max(a.pre.length, b.pre.length); i++) {
    const x = a.pre[i];
    const y = b.pre[i];
    if (x === y) continue;
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
    const numeric = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (numeric[0] && numeric[1]) return BigInt(x) < BigInt(y) ? -1 : 1;
    if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return 0;
}
const S = 'kubernetes.Semver';
const SEMVERS: Functions = {
  semver: [
    fn('string_to_semver', ['string'], S, (s: string) => toSemver(s, false)),
    fn('string_bool_to_semver', ['string', 'bool'], S, toSemver),
  ],
  isSemver: [
    fn('is_semver_string', ['string'], 'bool', (s: string) => parseSemver(s, false) !== undefined),
    fn('is_semver_string_bool', ['string', 'bool'], 'bool', (s: string, n: boolean) => parseSemver(s, n) !== undefined),
  ],
  isGreaterThan: [
    method('semver_is_greater_than', [S, S], 'bool', (a: SemverValue, b: SemverValue) => compareSemver(a, b) > 0),
  ],
  isLessThan: [
    method('semver_is_less_than', [S, S], 'bool', (a: SemverValue, b: SemverValue) => compareSemver(a, b) < 0),
  ],
  compareTo: [
    method('semver_compare_to', [S, S], 'int', (a: SemverValue, b: SemverValue) => BigInt(compareSemver(a, b))),
  ],
  major: [method('semver_major', [S], 'int', (v: SemverValue) => v.numbers[0])],
  minor: [method('semver_minor', [S], 'int', (v: SemverValue) => v.numbers[1])],
  patch: [method('semver_patch', [S], 'int', (v: SemverValue) => v.numbers[2])],
};

export const KUBERNETES: readonly Functions[] = [QUANTITIES, FORMAT, SEMVERS];
