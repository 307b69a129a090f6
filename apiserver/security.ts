/** Authentication, authorization and admission as the flags ask for them, and the handlers that come with them. */
import { withMeta } from '../api/meta.ts';
import type { GroupVersionKind, Secret } from '../api/types.ts';
import { createAdmission } from './admission/chain.ts';
import { admissionMetrics } from './admission/metrics.ts';
import { createEquivalence } from './admission/equivalence.ts';
import type { AdmissionSettings } from './admission/plugin.ts';
import { createMutatingPolicies } from './admission/policies/mutating.ts';
import type { KindFinder } from './admission/policies/policy.ts';
import { createValidatingPolicies } from './admission/policies/validating.ts';
import { createWebhookPlugins } from './admission/webhooks/plugin.ts';
import { createServiceResolver } from './admission/webhooks/resolve.ts';
import {
  createAuthentication,
  type Authentication,
  type AuthenticationOptions,
} from './authentication/authentication.ts';
import { issuerDocuments } from './authentication/discovery.ts';
import { createImpersonator, wantedUser } from './authentication/impersonation.ts';
import { createAuthorization, type Authorization, type AuthorizationMode } from './authorization/authorization.ts';
import type { AuthorizerEntry } from './authorization/config.ts';
import { loadBootstrapFacts, nodeRules } from './bootstrap/facts.ts';
import { demandAccepted, MethodPaths } from './http/paths.ts';
import { registerAuthHandlers } from './bootstrap/handlers.ts';
import type { AppParts, Security } from './app.ts';
import { attributesOf } from './http/chain.ts';
import { fieldManagersOf } from './registry/field-managers.ts';
import { readerKey } from './registry/reader.ts';
import { createWriter } from './registry/writer.ts';

export interface SecurityOptions extends Omit<AuthenticationOptions, 'clock' | 'caches' | 'metrics'> {
  authorizationModes: readonly Exclude<AuthorizationMode, 'ABAC' | 'Webhook'>[];
  /** The authorizers with their settings, instead of the modes alone. */
  authorizers?: readonly AuthorizerEntry[];
  /** --authorization-always-allow-paths. */
  alwaysAllowPaths?: readonly string[];
  /** HOST:PORT by which clients reach the server, for the issuer's documents. */
  externalAddress?: string;
  jwksUri?: string;
  maxTokenExpirationSeconds?: number;
  extendTokenExpiration?: boolean;
  /** --enable-admission-plugins and --disable-admission-plugins. */
  enableAdmission?: readonly string[];
  disableAdmission?: readonly string[];
  /** --enable-aggregator-routing: webhooks are reached by their Services' endpoints, not by the cluster IP. */
  aggregatorRouting?: boolean;
  /** Flags of single admission plugins. */
  admissionSettings?: AdmissionSettings;
  /** Gets the authentication once it is made, so that its authorities can be replaced. */
  onAuthentication?(authentication: Authentication): void;
  /** Gets the authorization once it is made, so that its chain can be replaced. */
  onAuthorization?(authorization: Authorization): void;
}

/** Makes the security of an app; registers reviews, tokens and the issuer's documents. */
export function createSecurity(options: SecurityOptions): (parts: AppParts) => Security {
  return (parts) => {
    const { clock, ids, special, paths, cacheOf, families } = parts;
    const { rand, logger, catalog, reader } = parts;
    const fields = fieldManagersOf(parts.catalog, clock);
    const writer = createWriter({ clock, ids, rand, logger, catalog, reader, fields });
    const authentication = createAuthentication({
      ...options,
      clock,
      logger,
      caches: cacheOf,
      metrics: families,
      onLegacyUse(namespace, secret, day) {
        const label = 'kubernetes.io/legacy-token-last-used';
        writer
          .update<Secret>('secrets', namespace, secret, (now) =>
            now.metadata?.labels?.[label] === day
              ? undefined
              : withMeta(now, (m) => (m.labels = { ...m.labels, [label]: day })),
          )
          .catch((error: unknown) =>
            logger.warn('could not note the use of a legacy token', { namespace, secret, error }),
          );
      },
    });
    options.onAuthentication?.(authentication);
    const authorization = createAuthorization({
      clock,
      logger,
      chain: options.authorizers ?? options.authorizationModes.map((type) => ({ type, name: type.toLowerCase() })),
      caches: cacheOf,
      metrics: families,
      nodeRules: nodeRules(loadBootstrapFacts()),
      alwaysAllowPaths: options.alwaysAllowPaths,
    });
    options.onAuthorization?.(authorization);
    const impersonator = createImpersonator(authorization);
    const resolve = createServiceResolver({ reader, rand, endpoints: options.aggregatorRouting ?? false });
    const authorizer = authorization;
    const equivalence = createEquivalence(catalog);
    const shared = { caches: cacheOf, reader, authorizer, equivalence };
    const metrics = admissionMetrics(families);
    const webhooks = createWebhookPlugins({ ...shared, clock, ids, logger, resolve, metrics });
    const findKind: KindFinder = (apiVersion, kind) => {
      const served = catalog.all().find((r) => r.apiVersion === apiVersion && r.kind === kind && r.store !== undefined);
      return served && { key: readerKey(served.group, served.resource), namespaced: served.namespaced };
    };
    const typeOf = (k: GroupVersionKind) =>
      catalog.all().find((r) => r.kind === k.kind && r.group === k.group && r.version === k.version)?.type;
    const validating = createValidatingPolicies({ ...shared, findKind });
    const mutating = createMutatingPolicies({ ...shared, findKind, typeOf });
    const admission = createAdmission({
      deps: {
        clock,
        ids,
        reader,
        authorizer: authorization,
        writer,
      },
      caches: cacheOf,
      rbac: authorization.rbac,
      enable: options.enableAdmission,
      disable: options.disableAdmission,
      settings: options.admissionSettings,
      metrics,
      extra: [...webhooks.plugins, validating.plugin, mutating.plugin],
    });

    const issuer = options.serviceAccounts?.issuers[0];
    registerAuthHandlers(special, {
      clock,
      ids,
      authentication,
      authorization,
      issuer,
      maxTokenExpirationSeconds: options.maxTokenExpirationSeconds,
      extendTokenExpiration: options.extendTokenExpiration,
    });
    const documents =
      issuer === undefined
        ? undefined
        : issuerDocuments({
            issuer,
            jwksUri: options.jwksUri,
            externalAddress: options.externalAddress ?? '127.0.0.1:6443',
            keys: authentication.tokenKeys,
          });
    if (documents) {
      const get = new MethodPaths(paths, ['GET']);
      for (const slash of ['', '/']) {
        get.exact(`/.well-known/openid-configuration${slash}`, (request, reply) => {
          demandAccepted(request, ['application/json']);
          reply.header('cache-control', documents.cacheControl);
          reply.send(200, 'application/json', documents.configuration);
        });
        get.exact(`/openid/v1/jwks${slash}`, (request, reply) => {
          demandAccepted(request, ['application/jwk-set+json']);
          reply.header('cache-control', documents.cacheControl);
          reply.send(200, 'application/jwk-set+json', documents.keys);
        });
      }
    }
    return {
      authenticator: authentication,
      authorizer: authorization,
      admission,
      fields,
      async impersonate(request) {
        const wanted = wantedUser({ headers: request.headers, rawHeaders: request.native.rawHeaders });
        return wanted && impersonator.impersonate(wanted, attributesOf(request.info, request));
      },
      close() {
        webhooks.close();
        validating.close();
        mutating.close();
        authorization.close();
        authentication.close();
      },
    };
  };
}
