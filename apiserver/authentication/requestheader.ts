/** A front proxy that has authenticated the user itself and says so in headers. */
import type { Authenticator } from './types.ts';
import { AuthenticationError } from './error.ts';
import { headerValues, prefixedHeaders } from './headers.ts';
import type { CertificateVerifier } from './x509.ts';

/** The --requestheader-* flags; header names in any case. */
export interface RequestHeaderOptions {
  usernameHeaders: readonly string[];
  uidHeaders?: readonly string[];
  groupHeaders: readonly string[];
  extraHeaderPrefixes: readonly string[];
  /** Common names that may speak for users; empty means any that the CA signed. */
  allowedNames: readonly string[];
}

/** Trusts the headers of clients whose certificate `verifier` (over --requestheader-client-ca-file) accepts. */
export function createRequestHeaderAuthenticator(
  options: RequestHeaderOptions,
  verifier: CertificateVerifier,
): Authenticator {
  const lower = (names: readonly string[] | undefined) => (names ?? []).map((n) => n.trim().toLowerCase());
  const names = lower(options.usernameHeaders);
  const uids = lower(options.uidHeaders);
  const groups = lower(options.groupHeaders);
  const prefixes = lower(options.extraHeaderPrefixes);
  return {
    async authenticate(c) {
      if (!c.clientCertificate) return undefined;
      const name = names.map((h) => c.header(h)).find(Boolean);
      // Looked at first: most clients with a certificate are no proxies.
      if (!name) return undefined;
      const { info } = verifier.verify(c.clientCertificate);
      if (options.allowedNames.length && !options.allowedNames.includes(info.subject.commonName)) {
        throw new AuthenticationError(`subject with cn=${info.subject.commonName} is not in the allowed list`);
      }
      const uid = uids.map((h) => c.header(h)).find(Boolean);
      const extra: Record<string, string[]> = {};
      for (const prefix of prefixes) {
        for (const [key, values] of prefixedHeaders(c, prefix)) extra[key] = [...(extra[key] ?? []), ...values];
      }
      return { user: { name, ...(uid ? { uid } : {}), groups: groups.flatMap((h) => headerValues(c, h)), extra } };
    },
  };
}
