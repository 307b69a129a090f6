/** Formats of strings that schemas of custom resources may name, and which of them are known. */
import { isIPv4, isIPv6 } from 'node:net';
import { matchesPattern } from './pattern.ts';
import { parseDuration, parseRfc3339 } from '../../../api/time.ts';
import { ipFamily, isDNS1123Label, isDNS1123Subdomain } from '../../../api/validation/names.ts';

type Check = (text: string) => boolean;

/** Matched without backtracking. */
const HOSTNAME =
  '^([a-zA-Z0-9\\p{S}\\p{L}]((-?[a-zA-Z0-9\\p{S}\\p{L}]{0,62})?)|([a-zA-Z0-9\\p{S}\\p{L}](([a-zA-Z0-9-\\p{S}\\p{L}]{0,61}[a-zA-Z0-9\\p{S}\\p{L}])?)(\\.)){1,}([a-zA-Z\\p{L}]){2,63})$';
const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const UUID3 = /^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const UUID4 = /^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i;
const UUID5 = /^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const MAC =
  /^(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$|^(?:[0-9a-f]{2}([:-]))(?:[0-9a-f]{2}\2){6}[0-9a-f]{2}$|^(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}$|^(?:[0-9a-f]{4}\.){3}[0-9a-f]{4}$/i;
const CARD =
  /^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(?:222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}|6(?:011|5[0-9]{2})[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11}|6[27][0-9]{14})$/;
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const RGB = RegExp(`^rgb\\(\\s*${OCTET}\\s*,\\s*${OCTET}\\s*,\\s*${OCTET}\\s*\\)$`);

function isHostname(text: string): boolean {
  if (Buffer.byteLength(text) > 255 || !matchesPattern(HOSTNAME, text)) return false;
  return text.split('.').every((p) => Buffer.byteLength(p) <= 63);
}

/** An address as mail headers have it: `a@b` or `Name <a@b>`. */
function isEmail(text: string): boolean {
  const angle = /^[^<>]*<([^<>]+)>\s*$/.exec(text);
  const address = (angle ? angle[1]! : text).trim();
  const at = address.lastIndexOf('@');
  if (at < 1 || at === address.length - 1) return false;
  const local = address.slice(0, at);
  const domain = address.slice(at + 1);
  const atom = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\uffff-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\uffff-]+)*$/;
  const quoted = /^"(?:[^"\\\r\n]|\\.)*"$/;
  return (atom.test(local) || quoted.test(local)) && (atom.test(domain) || /^\[[^[\]]+\]$/.test(domain));
}

/** What Go's url.ParseRequestURI takes: an absolute URI or an absolute path. */
function isUri(text: string): boolean {
  if (text === '' || /\p{Cc}/u.test(text)) return false;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s.exec(text);
  const rest = scheme ? scheme[2]! : text;
  if (!scheme && !text.startsWith('/')) return false;
  if (scheme && rest === '') return true;
  if (/%(?![0-9A-Fa-f]{2})/.test(rest.split('?')[0]!)) return false;
  if (!rest.startsWith('//')) return true;
  const authority = rest.slice(2).split(/[/?#]/)[0]!;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  if (/[\s<>"\\^`{|}]/.test(host)) return false;
  const port = /^(?:\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/.exec(host);
  return port !== null && (port[1] === undefined || /^[0-9]*$/.test(port[1]));
}

function isCidr(text: string): boolean {
  const slash = text.lastIndexOf('/');
  if (slash < 0) return false;
  const bits = text.slice(slash + 1);
  if (!/^[0-9]{1,3}$/.test(bits)) return false;
  const address = text.slice(0, slash);
  return isIPv4(address) ? Number(bits) <= 32 : isIPv6(address) && !address.includes('%') && Number(bits) <= 128;
}

function isDate(text: string): boolean {
  const m = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (!m) return false;
  const [year, month, day] = [Number(m[1]), Number(m[2]), Number(m[3])];
  return month >= 1 && month <= 12 && day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

const DATE_TIME =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})t([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$/i;
function isDateTime(text: string): boolean {
  return text.length >= 4 && DATE_TIME.test(text) && parseRfc3339(text.toUpperCase()) !== undefined;
}

const UNITS = new Set(
  'ns nano nanos nanosecond nanoseconds us µs micro micros microsecond microseconds ms milli millis millisecond milliseconds s sec secs second seconds m min mins minute minutes h hr hour hours d day days w wk week weeks'.split(
    ' ',
  ),
);
/** Go's form, or one number with the name of a unit. */
function isDuration(text: string): boolean {
  if (parseDuration(text) !== undefined) return true;
  if (text.length > 256) return false;
  const parts = [...text.matchAll(/(\d+)\s*([A-Za-zµ]+)/g)];
  return parts.length > 0 && parts.every((p) => UNITS.has(p[2]!));
}

function isIsbn10(text: string): boolean {
  const t = text.replace(/[\s-]+/g, '');
  if (!/^(?:[0-9]{9}X|[0-9]{10})$/.test(t)) return false;
  let sum = 0;
  for (let i = 0; i < 10; i++) sum += (i + 1) * (t[i] === 'X' ? 10 : Number(t[i]));
  return sum % 11 === 0;
}
function isIsbn13(text: string): boolean {
  const t = text.replace(/[\s-]+/g, '');
  if (!/^[0-9]{13}$/.test(t)) return false;
  let sum = 0;
  for (let i = 0; i < 12; i++) sum += (i % 2 === 0 ? 1 : 3) * Number(t[i]);
  return (10 - (sum % 10)) % 10 === Number(t[12]);
}
/** A number of a known issuer with a right check digit. */
function isCreditCard(text: string): boolean {
  const digits = text.replace(/[^0-9]+/g, '');
  if (!CARD.test(digits)) return false;
  let sum = 0;
  for (let i = digits.length - 1, twice = false; i >= 0; i--, twice = !twice) {
    const n = Number(digits[i]) * (twice ? 2 : 1);
    sum += n > 9 ? n - 9 : n;
  }
  return sum % 10 === 0;
}

const CHECKS: Readonly<Record<string, Check>> = {
  bsonobjectid: (t) => /^[0-9a-f]{24}$/i.test(t),
  uri: isUri,
  email: isEmail,
  hostname: isHostname,
  ipv4: (t) => ipFamily(t) === 4,
  ipv6: (t) => isIPv6(t) && !t.includes('%'),
  cidr: isCidr,
  mac: (t) => MAC.test(t),
  uuid: (t) => UUID.test(t),
  uuid3: (t) => UUID3.test(t),
  uuid4: (t) => UUID4.test(t),
  uuid5: (t) => UUID5.test(t),
  isbn: (t) => isIsbn10(t) || isIsbn13(t),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: isCreditCard,
  ssn: (t) => /^\d{3}[- ]\d{2}[- ]?\d{4}$/.test(t),
  hexcolor: (t) => /^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/.test(t),
  rgbcolor: (t) => RGB.test(t),
  byte: (t) => t !== '' && BASE64.test(t),
  password: () => true,
  date: isDate,
  duration: isDuration,
  datetime: isDateTime,
  k8sshortname: (t) => isDNS1123Label(t).length === 0,
  k8slongname: (t) => isDNS1123Subdomain(t).length === 0,
};

const normal = (format: string) => format.replaceAll('-', '');

/** The check of a string format; undefined for formats without meaning here. */
export function formatCheck(format: string): Check | undefined {
  const name = normal(format);
  return Object.hasOwn(CHECKS, name) ? CHECKS[name] : undefined;
}

/** Whether a format means something next to a type ('' for none). */
export function isKnownFormat(format: string, type: string): boolean {
  switch (type) {
    case '':
    case 'string':
      return formatCheck(format) !== undefined;
    case 'integer':
      return format === 'int32' || format === 'int64';
    case 'number':
      return format === 'float' || format === 'double';
    default:
      return false;
  }
}
