/** Names of certificate signers and what is named after them. */
import type { Field, Format } from './field.ts';
import { dns1123Subdomain, qualifiedName } from './names.ts';

/** `example.com/name`: a domain of at least two parts, then a path of names. */
export const signerName: Format = (v) => {
  if (v === '') return ['Required value'];
  const slash = v.indexOf('/');
  if (slash < 0) return ['must be a fully qualified domain and path of the form "example.com/signer-name"'];
  const domain = v.slice(0, slash);
  const path = v.slice(slash + 1);
  const errors: string[] = [...dns1123Subdomain(domain)];
  if (!domain.includes('.')) errors.push('should be a domain with at least two segments separated by dots');
  for (const part of path.split('.')) {
    if (!/^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(part))
      errors.push("a path segment must consist of alphanumeric characters or '-'");
  }
  if (path.length > 253 + 63 + 63) errors.push('must be no more than 571 characters');
  return errors;
};

/** `name`, or `example.com:signer:name` for bundles of one signer. */
export const clusterTrustBundleName: Format = (v) => dns1123Subdomain(v.includes(':') ? (v.split(':').pop() ?? '') : v);

/** Keys with a domain, as in annotations. */
export function userAnnotations(f: Field<Record<string, string>>): void {
  for (const k of Object.keys(f.value ?? {})) {
    if (!k.includes('/')) f.invalid('must be a domain-prefixed key', k);
    else for (const m of qualifiedName(k.toLowerCase())) f.invalid(m, k);
  }
}
