/** serviceaccounts/token: issues bound tokens (KEP-1205). */
import type * as k8s from '@kubernetes/client-node';
import { Path, invalid, invalidObject, type FieldError } from '../../api/field-errors.ts';
import { badRequest, conflict, notFound } from '../../api/status.ts';
import type { Json, KubeObject, Node, Pod, Secret, ServiceAccount } from '../../api/types.ts';
import { formatTime, type Clock, type Ids } from '../../base/clock.ts';
import type { ObjectContext, ObjectHandler } from '../registry/special.ts';
import type { ObjectFinder } from './objects.ts';
import { signJwt, type JwtKey } from './jwt.ts';
import type { KubernetesClaim } from './service-account.ts';

type TokenRequest = Json<k8s.AuthenticationV1TokenRequest>;
type BoundRef = Json<k8s.V1BoundObjectReference>;

/** Kubelets ask for this many seconds; such tokens live longer and warn instead, for programs that never reload. */
const WARN_ONLY_SECONDS = 60 * 60 + 7;
const EXTENDED_SECONDS = 365 * 24 * 60 * 60;
const MIN_SECONDS = 10 * 60;
const MAX_SECONDS = 2 ** 32;

export interface TokenRequestOptions {
  clock: Clock;
  ids: Ids;
  objects: ObjectFinder;
  issuer: string;
  signingKey: JwtKey;
  apiAudiences: readonly string[];
  /** --service-account-max-token-expiration in seconds; 0 or absent is no limit. */
  maxExpirationSeconds?: number;
  /** --service-account-extend-token-expiration; defaults to true. */
  extendExpiration?: boolean;
}

const KIND = { group: 'authentication.k8s.io', kind: 'TokenRequest' };

/** What a token is bound to. */
interface Bound {
  pod?: Pod;
  secret?: Secret;
  node?: { name: string; uid?: string };
}

/** The handler to register as `serviceaccounts/token`. */
export function createTokenRequestHandler(o: TokenRequestOptions): ObjectHandler {
  async function get<T extends KubeObject>(resource: string, namespace: string, name: string): Promise<T> {
    if (name === '') throw badRequest('Name parameter required.');
    const found = await o.objects.find<T>(resource, namespace, name);
    if (!found) throw notFound({ group: '', resource }, name);
    return found as T;
  }

  async function resolve(ref: BoundRef, account: string, namespace: string): Promise<Bound> {
    const name = ref.name ?? '';
    const core = !ref.apiVersion?.includes('/');
    let bound: Bound;
    let uid: string | undefined;
    if (core && ref.kind === 'Pod') {
      const pod = await get<Pod>('pods', namespace, name);
      if (pod.spec?.serviceAccountName !== account) {
        throw badRequest(
          `cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with different serviceaccount name.`,
        );
      }
      uid = pod.metadata?.uid;
      bound = { pod };
      const nodeName = pod.spec.nodeName;
      if (nodeName)
        bound.node = { name: nodeName, uid: (await o.objects.find<Node>('nodes', '', nodeName))?.metadata?.uid };
    } else if (core && ref.kind === 'Secret') {
      const secret = await get<Secret>('secrets', namespace, name);
      uid = secret.metadata?.uid;
      bound = { secret };
    } else if (core && ref.kind === 'Node') {
      const node = await get<Node>('nodes', '', name);
      uid = node.metadata?.uid;
      bound = { node: { name, uid } };
    } else {
      throw badRequest(`cannot bind token to object of type ${ref.apiVersion ?? ''}, Kind=${ref.kind ?? ''}`);
    }
    if (ref.uid && ref.uid !== uid) {
      throw conflict(
        { group: '', resource: ref.kind! },
        name,
        `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    return bound;
  }

  function validate(request: TokenRequest, context: ObjectContext, account: ServiceAccount): void {
    const meta = request.metadata ?? {};
    const bad = (field: string, value: unknown, why: string) =>
      invalidObject(KIND, context.name, [invalid(Path.root('metadata', field), value, why)]);
    if (meta.name && meta.name !== context.name)
      throw bad('name', meta.name, 'must match the service account name if specified');
    if (meta.namespace && meta.namespace !== context.namespace) {
      throw bad('namespace', meta.namespace, 'must match the service account namespace if specified');
    }
    if (meta.uid && meta.uid !== account.metadata?.uid) {
      const why = `the UID in the token request (${meta.uid}) does not match the UID of the service account (${account.metadata?.uid})`;
      throw conflict({ group: KIND.group, resource: KIND.kind }, context.name, why);
    }
    const seconds = request.spec?.expirationSeconds ?? 3600;
    const errors: FieldError[] = [];
    const path = Path.root('spec', 'expirationSeconds');
    if (seconds < MIN_SECONDS) errors.push(invalid(path, seconds, 'may not specify a duration less than 10 minutes'));
    if (seconds > MAX_SECONDS)
      errors.push(invalid(path, seconds, 'may not specify a duration larger than 2^32 seconds'));
    if (errors.length) throw invalidObject(KIND, '', errors);
  }

  return {
    type: 'object',
    async create(object, context) {
      const request = object as TokenRequest;
      const account = await get<ServiceAccount>('serviceaccounts', context.namespace, context.name);
      validate(request, context, account);
      const ref = request.spec?.boundObjectRef;
      const bound = ref ? await resolve(ref, context.name, context.namespace) : {};
      const audiences = request.spec?.audiences?.length ? request.spec.audiences : [...o.apiAudiences];
      let seconds = request.spec?.expirationSeconds ?? 3600;
      if (o.maxExpirationSeconds && seconds > o.maxExpirationSeconds) {
        context.warn(`requested expiration of ${seconds} seconds shortened to ${o.maxExpirationSeconds} seconds`);
        seconds = o.maxExpirationSeconds;
      }
      const now = Math.floor(o.clock.now() / 1000);
      const own = audiences.every((a) => o.apiAudiences.includes(a));
      const extended = (o.extendExpiration ?? true) && bound.pod !== undefined && seconds === WARN_ONLY_SECONDS && own;
      const claim: KubernetesClaim = {
        namespace: context.namespace,
        ...(bound.node ? { node: bound.node } : {}),
        ...(bound.pod ? { pod: { name: bound.pod.metadata!.name!, uid: bound.pod.metadata!.uid! } } : {}),
        ...(bound.secret ? { secret: { name: bound.secret.metadata!.name!, uid: bound.secret.metadata!.uid! } } : {}),
        serviceaccount: { name: context.name, uid: account.metadata!.uid! },
        ...(extended ? { warnafter: now + seconds } : {}),
      };
      const jti = o.ids.uuid();
      const token = signJwt(
        {
          aud: audiences,
          exp: now + (extended ? EXTENDED_SECONDS : seconds),
          iat: now,
          iss: o.issuer,
          jti,
          'kubernetes.io': claim,
          nbf: now,
          sub: `system:serviceaccount:${context.namespace}:${context.name}`,
        },
        o.signingKey,
      );
      context.request.annotate('authentication.kubernetes.io/issued-credential-id', `JTI=${jti}`);
      return {
        object: {
          kind: 'TokenRequest',
          apiVersion: 'authentication.k8s.io/v1',
          metadata: {
            ...request.metadata,
            name: context.name,
            namespace: context.namespace,
            uid: account.metadata!.uid,
            creationTimestamp: formatTime(now * 1000),
          },
          spec: { audiences, expirationSeconds: seconds, boundObjectRef: ref ?? null },
          status: { token, expirationTimestamp: formatTime((now + seconds) * 1000) },
        } as KubeObject,
      };
    },
  };
}
