/**
 * resource.Quantity: exact fixed-point amounts with a resolution of one billionth (`100m`, `1.5Gi`, `1e3`).
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
 */

/** How a quantity was written, and so will be written again. */
export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

/** The text is no quantity; the message is Go's. */
export class QuantityError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'QuantityError';
  }
}

const NANO = 1_000_000_000n;
/** Binary amounts are capped here. */
const MAX_BINARY = 9_223_372_036_854_775_807n * NANO;
/** Exponents beyond this are refused rather than expanded into a number of that many digits. */
const MAX_EXPONENT = 1000;
const FORM = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*)([-+]?[0-9]*)$/;
const WRONG_FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_NUMBER = 'unable to parse numeric part of quantity';
const WRONG_SUFFIX = "unable to parse quantity's suffix";

const DECIMAL: ReadonlyMap<string, number> = new Map([
  ['n', -9],
  ['u', -6],
  ['m', -3],
  ['', 0],
  ['k', 3],
  ['M', 6],
  ['G', 9],
  ['T', 12],
  ['P', 15],
  ['E', 18],
]);
const DECIMAL_SUFFIX: ReadonlyMap<number, string> = new Map([...DECIMAL].map(([s, e]) => [e, s]));
const BINARY: ReadonlyMap<string, number> = new Map([
  ['Ki', 10],
  ['Mi', 20],
  ['Gi', 30],
  ['Ti', 40],
  ['Pi', 50],
  ['Ei', 60],
]);
const BINARY_SUFFIX: ReadonlyMap<number, string> = new Map([...BINARY].map(([s, e]) => [e, s]));

/** The same few amounts are asked for over and over: in validation, defaults, quotas and limits of one object. */
const parsed = new Map<string, Quantity>();
const MAX_KNOWN = 1000;
const MAX_KNOWN_LENGTH = 20;

/** An immutable amount. */
export class Quantity {
  /** The amount in billionths. */
  readonly nanos: bigint;
  readonly format: QuantityFormat;
  #text: string | undefined;

  private constructor(nanos: bigint, format: QuantityFormat, text?: string) {
    this.nanos = nanos;
    this.format = format;
    this.#text = text;
  }

  static readonly zero = new Quantity(0n, 'DecimalSI', '0');

  /** Throws QuantityError. A number stands for its shortest decimal text, as JSON numbers do. */
  static parse(text: string | number): Quantity {
    const s = typeof text === 'number' ? String(text).replace('e+', 'e') : text;
    const known = parsed.get(s);
    if (known) return known;
    const quantity = Quantity.#parse(s);
    if (s.length <= MAX_KNOWN_LENGTH) {
      if (parsed.size >= MAX_KNOWN) parsed.clear();
      parsed.set(s, quantity);
    }
    return quantity;
  }

  static #parse(s: string): Quantity {
    if (s === '') throw new QuantityError(WRONG_FORM);
    if (s === '0') return Quantity.zero;
    const m = FORM.exec(s);
    if (!m) throw new QuantityError(WRONG_FORM);
    const sign = m[1]!;
    const whole = m[2]!.replace(/^0+/, '');
    const fraction = m[3] ?? '';
    const suffix = m[4]! + m[5]!;
    const [base, exponent, format] = readSuffix(suffix);
    // Without any digit the number is zero (`k` is a quantity to Go), save for the extremes that it reads otherwise.
    if (m[2] === '' && fraction === '' && (exponent < -9 || exponent >= 50)) throw new QuantityError(WRONG_NUMBER);
    const digits = BigInt(whole + fraction || '0');
    const nanos =
      base === 2 ? atNano(digits << BigInt(exponent), fraction.length) : atNano(digits, fraction.length - exponent);
    const capped = base === 2 && nanos > MAX_BINARY ? MAX_BINARY : nanos;
    const kept = isCanonicalText(whole, fraction, format, exponent) ? s : undefined;
    const shown = base === 2 && capped > 0n && capped < NANO ? 'DecimalSI' : format;
    return new Quantity(sign === '-' ? -capped : capped, shown, kept);
  }

  /** As parse, but undefined for what is no quantity. */
  static tryParse(text: string | number): Quantity | undefined {
    try {
      return Quantity.parse(text);
    } catch (e) {
      if (e instanceof QuantityError) return undefined;
      throw e;
    }
  }

  static fromInteger(value: bigint | number, format: QuantityFormat = 'DecimalSI'): Quantity {
    return new Quantity(BigInt(value) * NANO, format);
  }
  static fromMilli(value: bigint | number, format: QuantityFormat = 'DecimalSI'): Quantity {
    return new Quantity(BigInt(value) * 1_000_000n, format);
  }
  static fromNanos(value: bigint, format: QuantityFormat = 'DecimalSI'): Quantity {
    return new Quantity(value, format);
  }

  get isZero(): boolean {
    return this.nanos === 0n;
  }
  /** -1, 0 or 1. */
  get sign(): -1 | 0 | 1 {
    return this.nanos < 0n ? -1 : this.nanos === 0n ? 0 : 1;
  }
  /** -1, 0 or 1 as this is less than, equal to or greater than `other`; the way it is written doesn't matter. */
  compare(other: Quantity): -1 | 0 | 1 {
    return this.nanos < other.nanos ? -1 : this.nanos === other.nanos ? 0 : 1;
  }
  equals(other: Quantity): boolean {
    return this.nanos === other.nanos;
  }
  /** The sum keeps this one's format, unless this one is zero. */
  add(other: Quantity): Quantity {
    return new Quantity(this.nanos + other.nanos, this.isZero ? other.format : this.format);
  }
  sub(other: Quantity): Quantity {
    return new Quantity(this.nanos - other.nanos, this.isZero ? other.format : this.format);
  }
  negate(): Quantity {
    return new Quantity(-this.nanos, this.format);
  }
  multiply(factor: bigint): Quantity {
    return new Quantity(this.nanos * factor, this.format);
  }

  /** The nearest double. */
  asNumber(): number {
    const whole = this.nanos / NANO;
    const rest = this.nanos % NANO;
    if (rest === 0n) return Number(whole);
    return Number(`${this.nanos}e-9`);
  }
  /** Whole units, rounded away from zero. */
  asInteger(): bigint {
    return roundUp(this.nanos, NANO);
  }
  /** Thousandths, rounded away from zero. */
  asMilli(): bigint {
    return roundUp(this.nanos, 1_000_000n);
  }

  /** The canonical text. */
  toString(): string {
    this.#text ??= this.#format();
    return this.#text;
  }
  toJSON(): string {
    return this.toString();
  }

  #format(): string {
    if (this.nanos === 0n) return '0';
    const size = this.nanos < 0n ? -this.nanos : this.nanos;
    if (this.format === 'BinarySI' && size >= 1024n * NANO && size % NANO === 0n) {
      let amount = this.nanos / NANO;
      let exponent = 0;
      while ((amount & 1023n) === 0n) {
        amount >>= 10n;
        exponent += 10;
      }
      return `${amount}${BINARY_SUFFIX.get(exponent) ?? ''}`;
    }
    let amount = this.nanos;
    let exponent = -9;
    while (amount % 1000n === 0n) {
      amount /= 1000n;
      exponent += 3;
    }
    if (this.format === 'DecimalExponent') return exponent === 0 ? `${amount}` : `${amount}e${exponent}`;
    return `${amount}${DECIMAL_SUFFIX.get(exponent) ?? ''}`;
  }
}

function readSuffix(suffix: string): [base: 2 | 10, exponent: number, format: QuantityFormat] {
  const decimal = DECIMAL.get(suffix);
  if (decimal !== undefined) return [10, decimal, 'DecimalSI'];
  const binary = BINARY.get(suffix);
  if (binary !== undefined) return [2, binary, 'BinarySI'];
  if (!/^[eE][+-]?[0-9]+$/.test(suffix)) throw new QuantityError(WRONG_SUFFIX);
  const exponent = Number(suffix.slice(1));
  if (exponent > MAX_EXPONENT) throw new QuantityError(WRONG_NUMBER);
  return [10, Math.max(exponent, -MAX_EXPONENT), 'DecimalExponent'];
}

/** digits * 10^-places in billionths, what is smaller rounded up. */
function atNano(digits: bigint, places: number): bigint {
  if (places <= 9) return digits * 10n ** BigInt(9 - places);
  return roundUp(digits, 10n ** BigInt(places - 9));
}

function roundUp(value: bigint, unit: bigint): bigint {
  const whole = value / unit;
  if (value % unit === 0n) return whole;
  return value < 0n ? whole - 1n : whole + 1n;
}

/** Go keeps a text that its quick look takes for canonical (`1.500` among them). */
function isCanonicalText(whole: string, fraction: string, format: QuantityFormat, exponent: number): boolean {
  if (format === 'BinarySI') {
    if (fraction !== '' || whole === '' || 15 - whole.length - Math.trunc((exponent * 3) / 10) - 1 < 0) return false;
    return (Number(whole.slice(-3)) & 7) !== 0;
  }
  const digits = (whole || '0') + fraction;
  const scale = exponent - fraction.length;
  return digits.length <= 18 && scale >= -9 && scale % 3 === 0 && !digits.endsWith('000') && digits[0] !== '0';
}

const PLAIN = /^[1-9][0-9]{0,8}([mkMGTP]|[KMGT]i)?$/;

/** The canonical text of a quantity given as text or number. Throws QuantityError. */
export function canonicalQuantity(text: string | number): string {
  // Nearly all quantities that people write are canonical already.
  if (typeof text === 'string') {
    const m = PLAIN.exec(text);
    if (m) {
      const suffix = m[1];
      if (suffix === undefined || suffix.length === 1) {
        if (!text.includes('000')) return text;
      } else if ((Number.parseInt(text, 10) & 7) !== 0) return text;
    }
  }
  return Quantity.parse(typeof text === 'string' ? text.trim() : text).toString();
}
