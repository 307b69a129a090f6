/** Registers the posted-only resources of authentication and authorization. */
import type { Clock, Ids } from '../../base/clock.ts';
import type { Authentication } from '../authentication/authentication.ts';
import { createSelfSubjectReviewHandler, createTokenReviewHandler } from '../authentication/reviews.ts';
import { createTokenRequestHandler } from '../authentication/token-request.ts';
import type { Authorization } from '../authorization/authorization.ts';
import { createAccessReviewHandler, createRulesReviewHandler } from '../authorization/reviews.ts';
import type { SpecialHandlers } from '../registry/special.ts';

export interface AuthHandlerOptions {
  clock: Clock;
  ids: Ids;
  authentication: Authentication;
  authorization: Authorization;
  /** The first --service-account-issuer; without it and a signing key, tokens can't be requested. */
  issuer?: string;
  maxTokenExpirationSeconds?: number;
  extendTokenExpiration?: boolean;
}

export function registerAuthHandlers(handlers: SpecialHandlers, o: AuthHandlerOptions): void {
  const { authentication, authorization } = o;
  handlers.register('tokenreviews.authentication.k8s.io', createTokenReviewHandler(authentication));
  handlers.register('selfsubjectreviews.authentication.k8s.io', createSelfSubjectReviewHandler(o.clock));
  for (const [resource, kind] of [
    ['subjectaccessreviews', 'SubjectAccessReview'],
    ['selfsubjectaccessreviews', 'SelfSubjectAccessReview'],
    ['localsubjectaccessreviews', 'LocalSubjectAccessReview'],
  ] as const) {
    handlers.register(`${resource}.authorization.k8s.io`, createAccessReviewHandler(kind, authorization));
  }
  handlers.register('selfsubjectrulesreviews.authorization.k8s.io', createRulesReviewHandler(authorization));
  if (o.issuer === undefined || !authentication.signingKey) return;
  handlers.register(
    'serviceaccounts/token',
    createTokenRequestHandler({
      clock: o.clock,
      ids: o.ids,
      objects: authentication.objects,
      issuer: o.issuer,
      signingKey: authentication.signingKey,
      apiAudiences: authentication.apiAudiences,
      maxExpirationSeconds: o.maxTokenExpirationSeconds,
      extendExpiration: o.extendTokenExpiration,
    }),
  );
}
