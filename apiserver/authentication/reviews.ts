/** TokenReview and SelfSubjectReview: questions about credentials, answered and never stored. */
import type * as k8s from '@kubernetes/client-node';
import { badRequest, internalError } from '../../api/status.ts';
import type { Json, KubeObject } from '../../api/types.ts';
import { formatTime, type Clock } from '../../base/clock.ts';
import type { ObjectHandler } from '../registry/special.ts';
import type { Authentication } from './authentication.ts';
import { AuthenticationError } from './error.ts';
import type { Authenticated, UserInfo } from './types.ts';

type TokenReview = Json<k8s.V1TokenReview>;

/** A user in the form of the authentication API; empty parts are left out. */
export function userInfoJson(user: UserInfo): Json<k8s.V1UserInfo> {
  const extra = Object.entries(user.extra ?? {});
  return {
    ...(user.name === '' ? {} : { username: user.name }),
    ...(user.uid ? { uid: user.uid } : {}),
    ...(user.groups.length ? { groups: [...user.groups] } : {}),
    ...(extra.length ? { extra: Object.fromEntries(extra.map(([k, v]) => [k, [...v]])) } : {}),
  };
}

/** The handler to register as `tokenreviews.authentication.k8s.io`. */
export function createTokenReviewHandler(authentication: Authentication): ObjectHandler {
  return {
    type: 'object',
    async create(object) {
      const review = object as TokenReview;
      const token = review.spec?.token ?? '';
      if (token === '') throw badRequest('token is required for TokenReview in authentication');
      const wanted = review.spec.audiences?.length ? review.spec.audiences : authentication.apiAudiences;
      let found: Authenticated | undefined;
      let error: string | undefined;
      try {
        found = await authentication.authenticateToken(token, wanted);
        if (!found) error = 'invalid bearer token';
      } catch (e) {
        if (!(e instanceof AuthenticationError)) throw e;
        error = `[invalid bearer token, ${e.message}]`;
      }
      if (found && wanted.length && !(found.audiences ?? []).some((a) => wanted.includes(a)))
        throw internalError('error validating audiences');
      const status: Json<k8s.V1TokenReviewStatus> = {
        ...(found ? { authenticated: true } : {}),
        user: found ? userInfoJson(found.user) : {},
        ...(found?.audiences?.length ? { audiences: [...found.audiences] } : {}),
        ...(error === undefined ? {} : { error }),
      };
      return { object: { ...review, status } as KubeObject };
    },
  };
}

/** The handler to register as `selfsubjectreviews.authentication.k8s.io`. */
export function createSelfSubjectReviewHandler(clock: Clock): ObjectHandler {
  return {
    type: 'object',
    async create(object, context) {
      return {
        object: {
          kind: object.kind ?? 'SelfSubjectReview',
          apiVersion: object.apiVersion ?? 'authentication.k8s.io/v1',
          metadata: { creationTimestamp: formatTime(clock.now()) },
          status: { userInfo: userInfoJson(context.user) },
        } as KubeObject,
      };
    },
  };
}
