/** The flags that say who may come in and what is allowed, as options of createSecurity; their files are followed. */
import { dirname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { followFiles } from '../../base/tls.ts';
import { readAdmissionConfig } from '../admission/config.ts';
import type { AdmissionSettings } from '../admission/plugin.ts';
import type { Authentication } from '../authentication/authentication.ts';
import { compileAuthentication, readAuthenticationConfig } from '../authentication/config.ts';
import { hasOidcFlags, oidcFromFlags } from '../authentication/oidc-flags.ts';
import { readWebhookKubeconfig, type WebhookAddress } from '../authentication/remote.ts';
import { readAbacPolicies } from '../authorization/abac.ts';
import { parseAuthorizationModes, type Authorization } from '../authorization/authorization.ts';
import { readAuthorizationConfig, type AuthorizerEntry } from '../authorization/config.ts';
import { FlagError, type Flags } from '../flags.ts';
import type { SecurityOptions } from '../security.ts';

type ReadFile = (path: string) => Buffer;
type Authn = Pick<SecurityOptions, 'anonymous' | 'configuration' | 'signingAlgorithms' | 'tokenWebhook'>;

export interface AccessOptions {
  readonly security: Authn & { authorizationModes: readonly []; authorizers: readonly AuthorizerEntry[] };
  readonly admission: AdmissionSettings;
  /** Puts the configuration files in force again when they change. `close` ends it. */
  follow(o: { clock: Clock; logger: Logger; authentication: Authentication; authorization: Authorization }): {
    check(): void;
    close(): void;
  };
}

/** Throws FlagError with one sentence for what is wrong. */
export function accessFromFlags(flags: Flags, readFile: ReadFile): AccessOptions {
  const authn = authenticationFromFlags(flags, readFile);
  const authorizers = authorizersFromFlags(flags, readFile);
  const admissionFile = flags.string('admission-control-config-file');
  const admission: AdmissionSettings =
    admissionFile === undefined
      ? {}
      : orRefuse('admission-control-config-file', admissionFile, () =>
          readAdmissionConfig(readFile(admissionFile).toString('utf8'), dirname(admissionFile), readFile),
        );
  if (flags.list('enable-admission-plugins')?.includes('EventRateLimit') && !admission.eventLimits)
    throw new FlagError('admission plugin EventRateLimit needs limits in --admission-control-config-file');
  return {
    security: { ...authn, authorizationModes: [], authorizers },
    admission,
    follow({ clock, logger, authentication, authorization }) {
      const follow = (flag: string, use: (text: string) => void) => {
        const file = flags.string(flag);
        if (file === undefined) return undefined;
        const followed = followFiles({ clock, log: logger, files: [file] });
        followed.onChange(([text]) => {
          use(text!.toString('utf8'));
          logger.info('configuration was read again', { file });
        });
        return followed;
      };
      const followed = [
        follow('authentication-config', (text) => authentication.setConfiguration(readAuthenticationConfig(text))),
        follow('authorization-config', (text) => authorization.setChain(readAuthorizationConfig(text, readFile))),
      ];
      return {
        check: () => followed.forEach((f) => f?.check()),
        close: () => followed.forEach((f) => f?.close()),
      };
    },
  };
}

/** Runs what reads a flag's file; any error becomes one sentence about the flag. */
function orRefuse<T>(flag: string, file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    throw new FlagError(`--${flag}: ${file} can't be ${code === undefined ? `used: ${message}` : `read (${code})`}`);
  }
}

function versionFlag(flags: Flags, name: string): 'v1' | 'v1beta1' {
  const version = flags.string(name) ?? 'v1beta1';
  if (version !== 'v1' && version !== 'v1beta1')
    throw new FlagError(`--${name}: "${version}" is unknown; known are v1, v1beta1`);
  return version;
}

const kubeconfig = (flag: string, file: string, readFile: ReadFile): WebhookAddress =>
  orRefuse(flag, file, () => readWebhookKubeconfig(file, readFile));

function authenticationFromFlags(flags: Flags, readFile: ReadFile): Authn {
  const file = flags.string('authentication-config');
  const hook = flags.string('authentication-token-webhook-config-file');
  const version = versionFlag(flags, 'authentication-token-webhook-version');
  const cacheTtlMs = flags.durationMs('authentication-token-webhook-cache-ttl', 120_000);
  const anonymous = flags.has('anonymous-auth') ? flags.bool('anonymous-auth', true) : undefined;
  const ownIssuers = flags.list('service-account-issuer') ?? [];
  const out: Authn = {
    ...(anonymous === undefined ? {} : { anonymous }),
    ...(hook === undefined
      ? {}
      : {
          tokenWebhook: {
            address: kubeconfig('authentication-token-webhook-config-file', hook, readFile),
            version,
            cacheTtlMs,
          },
        }),
  };
  if (file !== undefined) {
    if (hasOidcFlags(flags)) throw new FlagError('--authentication-config and --oidc-* flags are mutually exclusive');
    const configuration = orRefuse('authentication-config', file, () =>
      readAuthenticationConfig(readFile(file).toString('utf8')),
    );
    orRefuse('authentication-config', file, () => compileAuthentication(configuration, ownIssuers));
    if (configuration.anonymous && anonymous !== undefined)
      throw new FlagError('--anonymous-auth can not be given when the authentication configuration file has anonymous');
    return { ...out, configuration };
  }
  const ca = flags.string('oidc-ca-file');
  const oidc = oidcFromFlags(flags, () =>
    ca === undefined ? undefined : orRefuse('oidc-ca-file', ca, () => readFile(ca)),
  );
  if (!oidc) return out;
  try {
    compileAuthentication(oidc.config, ownIssuers);
  } catch (error) {
    throw new FlagError(`the --oidc-* flags can't be used: ${(error as Error).message}`);
  }
  return { ...out, configuration: oidc.config, signingAlgorithms: oidc.algorithms };
}

const WEBHOOK_FLAGS = [
  'authorization-webhook-config-file',
  'authorization-webhook-version',
  'authorization-webhook-cache-authorized-ttl',
  'authorization-webhook-cache-unauthorized-ttl',
];

function authorizersFromFlags(flags: Flags, readFile: ReadFile): AuthorizerEntry[] {
  const file = flags.string('authorization-config');
  const given = ['authorization-mode', ...WEBHOOK_FLAGS].filter((name) => flags.has(name));
  if (file !== undefined) {
    if (given.length > 0)
      throw new FlagError(
        '--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined',
      );
    return orRefuse('authorization-config', file, () =>
      readAuthorizationConfig(readFile(file).toString('utf8'), readFile),
    );
  }
  let modes;
  try {
    modes = parseAuthorizationModes((flags.list('authorization-mode') ?? ['AlwaysAllow']).join(','));
  } catch (error) {
    throw new FlagError((error as Error).message);
  }
  const hook = flags.string('authorization-webhook-config-file');
  const version = versionFlag(flags, 'authorization-webhook-version');
  const authorizedTtlMs = flags.durationMs('authorization-webhook-cache-authorized-ttl', 300_000);
  const unauthorizedTtlMs = flags.durationMs('authorization-webhook-cache-unauthorized-ttl', 30_000);
  if (hook !== undefined && !modes.includes('Webhook'))
    throw new FlagError('--authorization-webhook-config-file needs --authorization-mode with Webhook');
  const policyFile = flags.string('authorization-policy-file');
  if (policyFile !== undefined && !modes.includes('ABAC'))
    throw new FlagError('--authorization-policy-file needs --authorization-mode with ABAC');
  return modes.map((type): AuthorizerEntry => {
    if (type === 'ABAC') {
      if (policyFile === undefined)
        throw new FlagError('--authorization-mode with ABAC needs --authorization-policy-file');
      const policies = orRefuse('authorization-policy-file', policyFile, () =>
        readAbacPolicies(readFile(policyFile).toString('utf8')),
      );
      return { type, name: 'abac', policies };
    }
    if (type !== 'Webhook') return { type, name: type.toLowerCase() };
    if (hook === undefined)
      throw new FlagError('--authorization-mode with Webhook needs --authorization-webhook-config-file');
    const address = kubeconfig('authorization-webhook-config-file', hook, readFile);
    const webhook = { address, version, timeoutMs: 30_000, authorizedTtlMs, unauthorizedTtlMs };
    return { type, name: 'default', webhook: { ...webhook, onFailure: 'noOpinion' } };
  });
}
