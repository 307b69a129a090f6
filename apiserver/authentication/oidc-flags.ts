/** The --oidc-* flags as the configuration that they stand for. */
import { FlagError, type Flags } from '../flags.ts';
import type { AuthenticationConfiguration } from './config.ts';
import { SIGNING_ALGORITHMS } from './jwks.ts';

const NAMES = [
  'oidc-issuer-url',
  'oidc-client-id',
  'oidc-ca-file',
  'oidc-username-claim',
  'oidc-username-prefix',
  'oidc-groups-claim',
  'oidc-groups-prefix',
  'oidc-signing-algs',
  'oidc-required-claim',
];

/** True when any of the flags is given. */
export const hasOidcFlags = (flags: Flags): boolean => NAMES.filter((n) => flags.has(n)).length > 0;

/** Undefined without --oidc-issuer-url; `readCa` reads --oidc-ca-file. Throws FlagError for what doesn't go together. */
export function oidcFromFlags(
  flags: Flags,
  readCa: () => Buffer | undefined,
): { config: AuthenticationConfiguration; algorithms: string[] } | undefined {
  if (!hasOidcFlags(flags)) return undefined;
  const url = flags.string('oidc-issuer-url');
  const client = flags.string('oidc-client-id');
  if ((url === undefined) !== (client === undefined))
    throw new FlagError('--oidc-issuer-url and --oidc-client-id must be specified together');
  const algorithms = flags.list('oidc-signing-algs') ?? ['RS256'];
  for (const a of algorithms)
    if (!SIGNING_ALGORITHMS.includes(a))
      throw new FlagError(`--oidc-signing-algs: ${a} is unknown; known are ${SIGNING_ALGORITHMS.join(', ')}`);
  if (url === undefined || client === undefined) return undefined;
  const claim = flags.string('oidc-username-claim') ?? 'sub';
  const prefix = flags.string('oidc-username-prefix');
  const groups = flags.string('oidc-groups-claim');
  // Claims other than email are unique within their issuer only.
  const usernamePrefix = prefix === '-' ? '' : (prefix ?? (claim === 'email' ? '' : `${url}#`));
  const rules = (flags.list('oidc-required-claim') ?? []).map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new FlagError(`--oidc-required-claim: ${pair} is no key=value pair`);
    return { claim: pair.slice(0, at), requiredValue: pair.slice(at + 1) };
  });
  return {
    algorithms,
    config: {
      jwt: [
        {
          issuer: { url, audiences: [client], certificateAuthority: readCa()?.toString('utf8') },
          claimMappings: {
            username: { claim, prefix: usernamePrefix },
            ...(groups === undefined
              ? {}
              : { groups: { claim: groups, prefix: flags.string('oidc-groups-prefix') ?? '' } }),
          },
          claimValidationRules: rules,
        },
      ],
    },
  };
}
