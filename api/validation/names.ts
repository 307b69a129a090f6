/**
 * Checks of names, label parts, addresses and the like. Each returns its complaints, none when the value is fine.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
 */
import { isIPv4, isIPv6 } from 'node:net';

const DNS_LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const DNS_SUBDOMAIN = `${DNS_LABEL}(\\.${DNS_LABEL})*`;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const QUALIFIED = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** Length as Go counts it: bytes. */
const bytes = (value: string) => (value.length > 20 ? Buffer.byteLength(value) : value.length);

const maxLengthMessage = (max: number) => `must be no more than ${max} bytes`;
const EMPTY_MESSAGE = 'must be non-empty';
const rangeMessage = (low: number, high: number) => `must be between ${low} and ${high}, inclusive`;

const pattern = (rule: string, regex: string, ...examples: string[]) =>
  `${rule} (e.g. ${examples.map((e) => `'${e}'`).join(', or ')}, regex used for validation is '${regex}')`;

function isSubdomain(value: string): boolean {
  // Label by label: no pattern that could backtrack over the whole.
  return value.split('.').every((l) => LABEL.test(l));
}

/** A DNS label: 63 lower-case letters, digits and '-'. */
export function isDNS1123Label(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 63) out.push(maxLengthMessage(63));
  if (!LABEL.test(value)) {
    out.push(
      isSubdomain(value)
        ? 'must not contain dots'
        : pattern(
            "a lowercase RFC 1123 label is made of lower case letters, digits and '-', with a letter or digit at either end",
            DNS_LABEL,
            'my-name',
            '123-abc',
          ),
    );
  }
  return out;
}

/** Labels joined by dots, 253 bytes at most. */
export function isDNS1123Subdomain(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 253) out.push(maxLengthMessage(253));
  if (!isSubdomain(value)) {
    out.push(
      pattern(
        "a lowercase RFC 1123 subdomain is made of lower case letters, digits, '-' and '.', with a letter or digit at either end",
        DNS_SUBDOMAIN,
        'example.com',
      ),
    );
  }
  return out;
}

/** As isDNS1123Subdomain, with '_' allowed inside labels and before them. */
export function isDNS1123SubdomainWithUnderscore(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 253) out.push(maxLengthMessage(253));
  if (!value.split('.').every((l) => /^_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/.test(l)))
    out.push(
      "a DNS search name is made of lower case letters, digits, '_', '-' and '.', with a letter or digit at either end",
    );
  return out;
}

/** A DNS label that starts with a letter (service names). */
export function isDNS1035Label(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 63) out.push(maxLengthMessage(63));
  if (!LABEL_1035.test(value)) {
    out.push(
      pattern(
        "a DNS-1035 label is made of lower case letters, digits and '-', starts with a letter and ends with a letter or digit",
        '[a-z]([-a-z0-9]*[a-z0-9])?',
        'my-name',
        'abc-123',
      ),
    );
  }
  return out;
}

/** `*.` and a subdomain. */
export function isWildcardDNS1123Subdomain(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 253) out.push(maxLengthMessage(253));
  if (!value.startsWith('*.') || !isSubdomain(value.slice(2)))
    out.push(
      pattern("a wildcard DNS-1123 subdomain is '*.' and a DNS subdomain", `\\*\\.${DNS_SUBDOMAIN}`, '*.example.com'),
    );
  return out;
}

/** A label or annotation key: an optional DNS subdomain and '/', then 63 letters, digits, '-', '_' and '.'. */
export function isQualifiedName(value: string): string[] {
  const out: string[] = [];
  const rule = "letters, digits, '-', '_' and '.', with a letter or digit at either end";
  const regex = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
  const parts = value.split('/');
  let name = value;
  if (parts.length === 2) {
    name = parts[1]!;
    if (parts[0] === '') out.push(`prefix part ${EMPTY_MESSAGE}`);
    else out.push(...isDNS1123Subdomain(parts[0]!).map((m) => `prefix part ${m}`));
  } else if (parts.length > 2) {
    return [
      `a valid label key is made of ${pattern(rule, regex, 'MyName', 'my.name', '123-abc')}, with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  if (name === '') out.push(`name part ${EMPTY_MESSAGE}`);
  else if (bytes(name) > 63) out.push(`name part ${maxLengthMessage(63)}`);
  if (!QUALIFIED.test(name)) out.push(`name part is made of ${pattern(rule, regex, 'MyName', 'my.name', '123-abc')}`);
  return out;
}

/** A label's value: empty, or 63 letters, digits, '-', '_' and '.'. */
export function isLabelValue(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 63) out.push(maxLengthMessage(63));
  if (value !== '' && !QUALIFIED.test(value)) {
    out.push(
      pattern(
        "a valid label is empty or made of letters, digits, '-', '_' and '.', with a letter or digit at either end",
        '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?',
        'MyValue',
        'my_value',
        '12345',
      ),
    );
  }
  return out;
}

/** A path segment that may be part of a URL: the loosest rule for names (roles and the like). */
export function isPathSegmentName(value: string): string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return ['/', '%'].filter((c) => value.includes(c)).map((c) => `may not contain '${c}'`);
}

/** Letters, digits and '_', not starting with a digit. */
export function isCIdentifier(value: string): string[] {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(value)) return [];
  return [
    pattern(
      "a C identifier starts with a letter or '_' and goes on with letters, digits and '_'",
      '[A-Za-z_][A-Za-z0-9_]*',
      'my_name',
      'MY_NAME',
    ),
  ];
}

/** 1 to 65535. */
export function isValidPortNum(port: number | bigint): string[] {
  return port >= 1 && port <= 65535 ? [] : [rangeMessage(1, 65535)];
}

/** An IANA service name: 15 lower-case letters, digits and single '-', with a letter among them. */
export function isValidPortName(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 15) out.push(maxLengthMessage(15));
  if (!/^[-a-z0-9]+$/.test(value)) out.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(value)) out.push('must contain at least one letter (a-z)');
  if (value.includes('--')) out.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) out.push('must not begin or end with a hyphen');
  return out;
}

/** Whole digits and a percent sign: `50%`. */
export function isValidPercent(value: string): string[] {
  return /^[0-9]+%$/.test(value) ? [] : [pattern("a percentage is a number and '%'", '[0-9]+%', '1%', '93%')];
}

/** Letters, digits and '-'. */
export function isHTTPHeaderName(value: string): string[] {
  return /^[-A-Za-z0-9]+$/.test(value)
    ? []
    : [pattern("an HTTP header name is made of letters, digits and '-'", '[-A-Za-z0-9]+', 'X-Header-Name')];
}

/** Any printable ASCII but '='. */
export function isRelaxedEnvVarName(value: string): string[] {
  if (value === '') return [`environment variable name ${EMPTY_MESSAGE}`];
  return /^[\x20-\x3c\x3e-\x7e]+$/.test(value)
    ? []
    : ["an environment variable name is made of printable ASCII characters other than '='"];
}

/** A key of ConfigMaps and Secrets. */
export function isConfigMapKey(value: string): string[] {
  const out: string[] = [];
  if (bytes(value) > 253) out.push(maxLengthMessage(253));
  if (!/^[-._a-zA-Z0-9]+$/.test(value))
    out.push(
      pattern(
        "a config key is made of letters, digits, '-', '_' and '.'",
        '[-._a-zA-Z0-9]+',
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    );
  return [...out, ...noPathNames(value)];
}

function noPathNames(value: string): string[] {
  if (value === '.') return ["must not be '.'"];
  if (value === '..') return ["must not be '..'"];
  return value.startsWith('..') ? ["must not start with '..'"] : [];
}

/** 4, 6, or 0 for no address. Leading zeros in IPv4 octets are accepted, as the API always did. */
export function ipFamily(value: string): 0 | 4 | 6 {
  if (isIPv4(value)) return 4;
  if (isIPv6(value)) return value.includes('%') ? 0 : 6;
  if (/^\d+(\.\d+){3}$/.test(value)) return value.split('.').every((o) => o.length <= 9 && Number(o) <= 255) ? 4 : 0;
  return 0;
}

/** The prefix of a generated name: a valid name even without the letters to come. */
export const withoutTrailingDash = (prefix: string): string =>
  prefix.length > 1 && prefix.endsWith('-') ? `${prefix.slice(0, -1)}a` : prefix;
