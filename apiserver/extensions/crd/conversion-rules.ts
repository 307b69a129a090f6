/** Validation of spec.conversion. */
import {
  forbiddenField,
  invalid,
  notSupported,
  required,
  type FieldError,
  type Path,
} from '../../../api/field-errors.ts';
import { isDNS1035Label, isValidPortNum } from '../../../api/validation/names.ts';
import type { CrdConversion, WebhookClientConfig } from './types.ts';

export interface ConversionDemands {
  readonly recognizedReviewVersion: boolean;
  readonly allowInvalidCaBundle: boolean;
}

const STRATEGIES = ['None', 'Webhook'];
const REVIEWS = ['v1', 'v1beta1'];

/** `preserve` is spec.preserveUnknownFields. */
export function validateConversion(
  c: CrdConversion | undefined,
  preserve: boolean,
  demands: ConversionDemands,
  path: Path,
): FieldError[] {
  if (!c) return [];
  const errors: FieldError[] = [];
  if (preserve && c.strategy !== 'None')
    errors.push(invalid(path.child('strategy'), c.strategy, 'must be None if spec.preserveUnknownFields is true'));
  if (!c.strategy) errors.push(required(path.child('strategy')));
  else if (!STRATEGIES.includes(c.strategy)) errors.push(notSupported(path.child('strategy'), c.strategy, STRATEGIES));
  const config = c.webhook?.clientConfig;
  const versions = c.webhook?.conversionReviewVersions ?? [];
  const at = path.child('webhookClientConfig');
  if (c.strategy === 'Webhook') {
    if (!config) errors.push(required(at, 'required when strategy is set to Webhook'));
    else errors.push(...clientConfigErrors(config, demands, at));
    errors.push(
      ...reviewVersionErrors(versions, demands.recognizedReviewVersion, path.child('conversionReviewVersions')),
    );
    return errors;
  }
  const why = 'should not be set when strategy is not set to Webhook';
  if (config) errors.push(forbiddenField(at, why));
  if (versions.length > 0) errors.push(forbiddenField(path.child('conversionReviewVersions'), why));
  return errors;
}

function clientConfigErrors(c: WebhookClientConfig, demands: ConversionDemands, path: Path): FieldError[] {
  const errors: FieldError[] = [];
  if ((c.url === undefined) === (c.service === undefined))
    errors.push(required(path, 'exactly one of url or service is required'));
  else if (c.url !== undefined) errors.push(...urlErrors(c.url, path.child('url')));
  else if (c.service) {
    const at = path.child('service');
    // Upstream hands the two over the other way round: the name's rules are the namespace's.
    if (!c.service.name) errors.push(required(at.child('namespace')));
    if (!c.service.namespace) errors.push(required(at.child('name')));
    for (const m of isValidPortNum(c.service.port ?? 443))
      errors.push(invalid(at.child('port'), c.service.port, `port is not valid: ${m}`));
    if (c.service.path !== undefined) errors.push(...urlPathErrors(c.service.path, at.child('path')));
  }
  if (
    c.caBundle &&
    !demands.allowInvalidCaBundle &&
    !Buffer.from(c.caBundle, 'base64').toString('latin1').includes('-----BEGIN CERTIFICATE-----')
  )
    errors.push(
      invalid(
        path.child('caBundle'),
        c.caBundle,
        'unable to load root certificates: unable to parse bytes as PEM block',
      ),
    );
  return errors;
}

function urlErrors(text: string, path: Path): FieldError[] {
  const form = '; desired format: https://host[/path]';
  if (!URL.canParse(text))
    return text.includes('://')
      ? [required(path, `url must be a valid URL${form}`)]
      : [
          invalid(path, '', `'https' is the only allowed URL scheme${form}`),
          invalid(path, '', `host must be specified${form}`),
        ];
  const url = new URL(text);
  const errors: FieldError[] = [];
  if (url.protocol !== 'https:')
    errors.push(invalid(path, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${form}`));
  if (url.host === '') errors.push(invalid(path, '', `host must be specified${form}`));
  if (url.username || url.password)
    errors.push(invalid(path, url.username, 'user information is not permitted in the URL'));
  if (url.hash) errors.push(invalid(path, url.hash.slice(1), 'fragments are not permitted in the URL'));
  if (url.search) errors.push(invalid(path, url.search.slice(1), 'query parameters are not permitted in the URL'));
  return errors;
}

function urlPathErrors(text: string, path: Path): FieldError[] {
  if (text === '' || text === '/') return [];
  if (!text.startsWith('/')) return [invalid(path, text, "must start with a '/'")];
  const errors: FieldError[] = [];
  const steps = (text.endsWith('/') ? text.slice(1, -1) : text.slice(1)).split('/');
  steps.forEach((s, i) => {
    if (s === '') errors.push(invalid(path, text, `segment[${i}] may not be empty`));
    else if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(s))
      errors.push(invalid(path, text, `segment[${i}]: a lowercase RFC 1123 subdomain is wanted`));
  });
  return errors;
}

function reviewVersionErrors(versions: readonly string[], recognized: boolean, path: Path): FieldError[] {
  if (versions.length === 0) return [required(path)];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  versions.forEach((v, i) => {
    if (seen.has(v)) errors.push(invalid(path.index(i), v, 'duplicate version'));
    else for (const m of isDNS1035Label(v)) errors.push(invalid(path.index(i), v, m));
    seen.add(v);
  });
  if (recognized && !versions.some((v) => REVIEWS.includes(v)))
    errors.push(invalid(path, versions, `must include at least one of ${REVIEWS.join(', ')}`));
  return errors;
}
