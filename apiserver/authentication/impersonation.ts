/**
 * Acting as somebody else: the Impersonate-* headers. The constrained modes (KEP-5284) are asked first, since they
 * need permission for the very request too; the old verb `impersonate` still allows everything.
 */
import { StatusError, badRequest } from '../../api/status.ts';
import { forbiddenRequest } from '../authorization/errors.ts';
import type { AuthorizationAttributes, Authorizer } from '../authorization/types.ts';
import { headerValues, prefixedHeaders, type HeaderSource } from './headers.ts';
import { serviceAccountGroups, splitServiceAccountName } from './service-account.ts';
import type { UserInfo } from './types.ts';

/** Who is to be acted as, as the headers say it. */
export interface WantedUser {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

const HEADERS = ['impersonate-user', 'impersonate-uid', 'impersonate-group'];
const EXTRA = 'impersonate-extra-';
const MANY = 4;
const REMEMBERED = 10_000;

/** True for headers that must not be passed on behind impersonation. */
const isImpersonationHeader = (name: string) => HEADERS.includes(name) || name.startsWith(EXTRA);

/** A quick look whether the headers speak of impersonation at all. */
export function hasImpersonationHeaders(headers: HeaderSource['headers']): boolean {
  for (const name in headers) if (name.startsWith('impersonate-') && isImpersonationHeader(name)) return true;
  return false;
}

/** Reads the headers; undefined when nobody is to be impersonated, a 400 when parts come without a user. */
export function wantedUser(source: HeaderSource): WantedUser | undefined {
  if (!hasImpersonationHeaders(source.headers)) return undefined;
  const wanted: WantedUser = {
    name: headerValues(source, 'impersonate-user')[0] ?? '',
    uid: headerValues(source, 'impersonate-uid')[0] ?? '',
    groups: headerValues(source, 'impersonate-group'),
    extra: Object.fromEntries(prefixedHeaders(source, EXTRA)),
  };
  if (wanted.name !== '') return wanted;
  if (wanted.uid !== '' || wanted.groups.length || Object.keys(wanted.extra).length) {
    throw badRequest('impersonation of a UID, groups or extra values needs Impersonate-User');
  }
  return undefined;
}

const NODE_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
function nodeName(user: string): string | undefined {
  const name = user.startsWith('system:node:') ? user.slice(12) : '';
  return name.length <= 253 && NODE_NAME.test(name) ? name : undefined;
}
const onlyName = (w: WantedUser) => w.uid === '' && w.groups.length === 0 && Object.keys(w.extra).length === 0;

/** One way to impersonate; `applies` says whether it knows this kind of user. */
interface Mode {
  /** undefined: the old way. */
  readonly constraint: string | undefined;
  applies(wanted: WantedUser, requestor: UserInfo): boolean;
}

const MODES: readonly Mode[] = [
  {
    constraint: 'associated-node',
    applies: (w, r) =>
      onlyName(w) &&
      nodeName(w.name) !== undefined &&
      splitServiceAccountName(r.name) !== undefined &&
      r.extra?.['authentication.kubernetes.io/node-name']?.length === 1 &&
      r.extra['authentication.kubernetes.io/node-name'][0] === nodeName(w.name),
  },
  { constraint: 'arbitrary-node', applies: (w) => onlyName(w) && nodeName(w.name) !== undefined },
  { constraint: 'serviceaccount', applies: (w) => onlyName(w) && splitServiceAccountName(w.name) !== undefined },
  {
    constraint: 'user-info',
    applies: (w) => nodeName(w.name) === undefined && splitServiceAccountName(w.name) === undefined,
  },
  { constraint: undefined, applies: () => true },
];

export interface Impersonator {
  /**
   * The user to go on as. `attributes` are those of the request itself, with the real user.
   * Rejects with a 403 that speaks of the first thing that isn't allowed.
   */
  impersonate(wanted: WantedUser, attributes: AuthorizationAttributes): Promise<UserInfo>;
}

/** Keys of extra: lower case, no empty parts, like label keys with an optional path. */
function extraProblem(extra: WantedUser['extra']): string | undefined {
  for (const [key, values] of Object.entries(extra)) {
    if (key === '') return 'impersonating the empty string key in extra is not allowed';
    if (key !== key.toLowerCase())
      return `impersonating a non-lowercase key in extra is not allowed: ${JSON.stringify(key)}`;
    const slash = key.indexOf('/');
    if (slash <= 0 || !NODE_NAME.test(key.slice(0, slash)) || slash === key.length - 1) {
      return `impersonating an invalid key in extra is not allowed: ${JSON.stringify(key)} must be a domain-prefixed path`;
    }
    if (values.length === 0 || values.includes('')) return 'impersonating empty values in extra is not allowed';
  }
  return undefined;
}

/** Checks impersonation headers with this authorizer. */
export function createImpersonator(authorizer: Authorizer): Impersonator {
  /** Requestor's name -> the mode that worked last, so that the common case asks once. */
  const last = new Map<string, Mode>();

  async function require(a: AuthorizationAttributes): Promise<void> {
    const d = await authorizer.authorize(a);
    if (d.decision !== 'allow') throw forbiddenRequest(a, d.reason);
  }

  async function check(mode: Mode, w: WantedUser, request: AuthorizationAttributes): Promise<UserInfo> {
    const constrained = mode.constraint !== undefined;
    const verb = constrained ? `impersonate:${mode.constraint}` : 'impersonate';
    const associated = mode.constraint === 'associated-node';
    // All nodes that an account may stand for are alike, so its own extra values don't count here.
    const requestor: UserInfo = associated
      ? {
          ...request.user,
          extra: { 'authentication.kubernetes.io/associated-node-keys': Object.keys(request.user.extra ?? {}).sort() },
        }
      : request.user;
    if (constrained)
      await require({ ...request, user: requestor, verb: `impersonate-on:${mode.constraint}:${request.verb}` });

    const authn = { apiGroup: 'authentication.k8s.io', apiVersion: 'v1' };
    const core = constrained ? authn : { apiGroup: '', apiVersion: 'v1' };
    const base: AuthorizationAttributes = {
      user: requestor,
      verb,
      resourceRequest: true,
      path: '',
      namespace: '',
      ...core,
      resource: 'users',
      subresource: '',
      name: w.name,
    };
    let groups = [...w.groups];
    const node = constrained ? nodeName(w.name) : undefined;
    const account = splitServiceAccountName(w.name);
    if (node !== undefined) {
      groups = ['system:nodes'];
      await require({ ...base, resource: 'nodes', name: associated ? '*' : node });
    } else if (account) {
      if (groups.length === 0) groups = serviceAccountGroups(account.namespace);
      await require({ ...base, resource: 'serviceaccounts', ...account });
    } else {
      await require(base);
    }
    if (w.uid !== '') await require({ ...base, ...authn, resource: 'uids', name: w.uid });
    await checkGroups(w, { ...base, resource: 'groups' }, constrained);
    await checkExtra(w, { ...base, ...authn, resource: 'userextras' }, constrained);

    const implied = w.name === 'system:anonymous' ? 'system:unauthenticated' : 'system:authenticated';
    if (!groups.includes('system:unauthenticated') && !groups.includes(implied)) groups.push(implied);
    return {
      name: w.name,
      ...(w.uid === '' ? {} : { uid: w.uid }),
      groups,
      ...(Object.keys(w.extra).length ? { extra: w.extra } : {}),
    };
  }

  async function checkGroups(w: WantedUser, a: AuthorizationAttributes, constrained: boolean): Promise<void> {
    if (w.groups.length === 0) return;
    if (constrained) {
      if (w.groups.includes(''))
        throw forbiddenRequest({ ...a, name: '' }, 'impersonating the empty string group is not allowed');
      if (w.groups.includes('system:masters')) {
        throw forbiddenRequest(
          { ...a, name: 'system:masters' },
          'impersonating the system:masters group is not allowed',
        );
      }
      if (w.groups.length >= MANY && (await authorizer.authorize({ ...a, name: '*' })).decision === 'allow') return;
    }
    for (const name of w.groups) await require({ ...a, name });
  }

  async function checkExtra(w: WantedUser, a: AuthorizationAttributes, constrained: boolean): Promise<void> {
    const entries = Object.entries(w.extra);
    if (entries.length === 0) return;
    if (constrained) {
      const problem = extraProblem(w.extra);
      if (problem !== undefined) throw forbiddenRequest({ ...a, name: '' }, problem);
      const many = entries.length >= MANY || entries.reduce((n, [, v]) => n + v.length, 0) >= MANY;
      if (many && (await authorizer.authorize({ ...a, subresource: '*', name: '*' })).decision === 'allow') return;
    }
    for (const [subresource, values] of entries) {
      for (const name of values) await require({ ...a, subresource, name });
    }
  }

  return {
    async impersonate(wanted, attributes) {
      const known = last.get(attributes.user.name);
      const order = known ? [known, ...MODES.filter((m) => m !== known)] : MODES;
      let first: StatusError | undefined;
      for (const mode of order) {
        if (!mode.applies(wanted, attributes.user)) continue;
        try {
          const user = await check(mode, wanted, attributes);
          if (last.size >= REMEMBERED) last.clear();
          last.set(attributes.user.name, mode);
          return user;
        } catch (error) {
          if (!(error instanceof StatusError) || error.code !== 403) throw error;
          first ??= error;
        }
      }
      throw first!;
    },
  };
}
