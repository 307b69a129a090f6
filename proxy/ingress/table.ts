/** Ingress objects into a table of routes. Pure. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';

export type Ingress = Json<k8s.V1Ingress>;
export type IngressClass = Json<k8s.V1IngressClass>;
type Backend = NonNullable<DeepReadonly<Ingress>['spec']>['defaultBackend'];

/** What this program is called in IngressClass.spec.controller. */
const CONTROLLER = 'k8ts.io/ingress';
const DEFAULT_CLASS = 'ingressclass.kubernetes.io/is-default-class';
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';

/** A port of a Service. */
export interface Target {
  namespace: string;
  service: string;
  port: string | number;
}

interface Route {
  path: string;
  exact: boolean;
  /** Undefined for a backend that is no Service. */
  target: Target | undefined;
}

/** The routes of one host, the most specific first. */
interface Host {
  routes: Route[];
  /** Where what no route matches goes. */
  fallback: Target | undefined;
}

export interface Table {
  /** By host; `*.example.org` for wildcards, '' for rules without a host. */
  hosts: ReadonlyMap<string, Host>;
  fallback: Target | undefined;
  /** Secrets (namespace/name) by the host they are for; '' for those that name none. */
  certificates: ReadonlyMap<string, string>;
}

/** The Ingresses that are this controller's, the oldest first: that is who wins where two want the same. */
export function ownIngresses(
  ingresses: readonly DeepReadonly<Ingress>[],
  classes: readonly DeepReadonly<IngressClass>[],
): DeepReadonly<Ingress>[] {
  const own = new Set(classes.filter((c) => c.spec?.controller === CONTROLLER).map((c) => c.metadata?.name));
  const isDefault = classes.some(
    (c) => own.has(c.metadata?.name) && c.metadata?.annotations?.[DEFAULT_CLASS] === 'true',
  );
  const age = (i: DeepReadonly<Ingress>) =>
    `${i.metadata?.creationTimestamp ?? ''} ${i.metadata?.namespace}/${i.metadata?.name}`;
  return ingresses
    .filter((i) => {
      const name = i.spec?.ingressClassName ?? i.metadata?.annotations?.[CLASS_ANNOTATION];
      return name === undefined ? isDefault : own.has(name);
    })
    .sort((a, b) => (age(a) < age(b) ? -1 : 1));
}

const targetOf = (namespace: string, backend: Backend): Target | undefined =>
  backend?.service && {
    namespace,
    service: backend.service.name,
    port: backend.service.port?.name ?? backend.service.port?.number ?? 0,
  };

/** The oldest Ingress comes first where several want the same. */
export function buildTable(own: readonly DeepReadonly<Ingress>[]): Table {
  const hosts = new Map<string, Host>();
  const certificates = new Map<string, string>();
  let fallback: Target | undefined;
  for (const ingress of own) {
    const namespace = ingress.metadata?.namespace ?? '';
    const rest = targetOf(namespace, ingress.spec?.defaultBackend);
    fallback ??= rest;
    for (const rule of ingress.spec?.rules ?? []) {
      const name = (rule.host ?? '').toLowerCase();
      let host = hosts.get(name);
      if (!host) hosts.set(name, (host = { routes: [], fallback: undefined }));
      host.fallback ??= rest;
      for (const p of rule.http?.paths ?? []) {
        const exact = p.pathType === 'Exact';
        const path = p.path || '/';
        if (!host.routes.some((r) => r.exact === exact && r.path === path))
          host.routes.push({ path, exact, target: targetOf(namespace, p.backend) });
      }
    }
    for (const tls of ingress.spec?.tls ?? []) {
      if (!tls.secretName) continue;
      for (const h of tls.hosts?.length ? tls.hosts : [''])
        if (!certificates.has(h.toLowerCase())) certificates.set(h.toLowerCase(), `${namespace}/${tls.secretName}`);
    }
  }
  for (const host of hosts.values())
    host.routes.sort((a, b) => b.path.length - a.path.length || Number(b.exact) - Number(a.exact));
  return { hosts, fallback, certificates };
}

/** What stands under a host's name, under the wildcard above it (which stands for one label), or under none. */
export function byHost<T>(map: ReadonlyMap<string, T>, host: string): T | undefined {
  return map.get(host) ?? map.get(host.replace(/^[^.]+/, '*')) ?? map.get('');
}

/** Elements of a Prefix path must match whole; a slash at its end makes no difference. */
function matches(route: Route, path: string): boolean {
  if (route.exact) return path === route.path;
  const prefix = route.path.replace(/\/+$/, '');
  return path === prefix || path.startsWith(`${prefix}/`);
}

/** Where a request goes; undefined when nobody wants it. `host` without a port, `path` without a query. */
export function route(table: Table, host: string, path: string): Target | undefined {
  const found = byHost(table.hosts, host.toLowerCase());
  const hit = found?.routes.find((r) => matches(r, path));
  return hit ? hit.target : (found?.fallback ?? table.fallback);
}

/** The path that routes are compared with: without a query, dot segments resolved as every server resolves them. */
export function plainPath(url: string): string {
  const end = url.search(/[?#]/);
  const raw = end < 0 ? url : url.slice(0, end);
  if (!raw.includes('/.') && !/%2e/i.test(raw)) return raw;
  const out: string[] = [];
  for (const part of raw.replace(/%2e/gi, '.').split('/')) {
    if (part === '..') out.pop();
    else if (part !== '.') out.push(part);
  }
  const joined = out.join('/');
  return joined.startsWith('/') ? joined : `/${joined}`;
}
