/** Ingresses and their classes. */
import { isIP } from 'node:net';
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../../api/types.ts';
import { define, specAndStatus, statusEndpoint, withGeneration } from '../define.ts';
import { addressWarnings } from '../pods/warnings.ts';
import { rules, statusRules } from '../rules.ts';
import { age, nameOf, NONE } from '../table.ts';
import { Field } from '../validation/field.ts';
import { absolutePath, ip, portName, portNumber } from '../validation/formats.ts';
import { dns1123Label, dns1123Subdomain, pathSegment, wildcardSubdomain } from '../validation/names.ts';
import { domainPrefixedPath } from '../validation/values.ts';

const GROUP = 'networking.k8s.io';
const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
type Ingress = Json<k8s.V1Ingress>;
type Backend = Json<k8s.V1IngressBackend>;
type Path = Json<k8s.V1HTTPIngressPath>;
type Reference = Json<k8s.V1TypedLocalObjectReference>;

function host(f: Field<string>): void {
  f.formatAll(f.value?.includes('*') ? wildcardSubdomain : dns1123Subdomain);
}

function reference(f: Field<Reference>): void {
  if (f.get('apiGroup').isSet) f.get('apiGroup').formatAll(dns1123Subdomain);
  f.get('kind').requiredFormat(pathSegment);
  f.get('name').requiredFormat(pathSegment);
}

function backend(f: Field<Backend>): void {
  const { resource, service } = f.value ?? {};
  if (resource && service) return void f.invalid('cannot set both resource and service backends', '');
  if (resource) return reference(f.get('resource'));
  if (!service) return void f.invalid('resource or service backend is required', '');
  f.get('service').get('name').requiredFormat(dns1123Label);
  const port = f.get('service').get('port');
  const { name, number } = port.value ?? {};
  if (name && number) f.invalid('cannot set both port name & port number', '');
  else if (name) port.get('name').formatAll(portName);
  else if (number) portNumber(port.get('number'));
  else f.missing('port name or number is required');
}

const BAD_SEQUENCES = ['//', '/./', '/../', '%2f', '%2F'];
const BAD_ENDS = ['/..', '/.'];

function path(f: Field<Path>): void {
  const p = f.get('path');
  const text = p.value ?? '';
  switch (f.value?.pathType ?? undefined) {
    case undefined:
      return void f.get('pathType').missing('pathType must be specified');
    case 'Exact':
    case 'Prefix':
      p.formatAll(absolutePath);
      for (const s of BAD_SEQUENCES) p.check(!text.includes(s), `must not contain '${s}'`);
      for (const s of BAD_ENDS) p.check(!text.endsWith(s), `cannot end with '${s}'`);
      break;
    case 'ImplementationSpecific':
      p.format(absolutePath);
      break;
    default:
      f.get('pathType').notSupported(['Exact', 'ImplementationSpecific', 'Prefix']);
  }
  backend(f.get('backend'));
}

type Rule = Json<k8s.V1IngressRule>;
function ruleValue(f: Field<Rule>): void {
  const http = f.get('http');
  if (!http.isSet) return;
  http.get('paths').required().each(path);
}
/** Whether stored rules with a wildcard host were let through by an older server. */
function laxWildcards(old: DeepReadonly<Ingress> | undefined): boolean {
  return (old?.spec?.rules ?? []).some((r) => {
    const f = new Field(r as Rule, []);
    ruleValue(f);
    return r.host?.includes('*') && f.errors.length > 0;
  });
}
const badSecret = (name: string | undefined) => !!name && dns1123Subdomain(name).length > 0;

function ingressSpec(f: Field<Ingress>, old: DeepReadonly<Ingress> | undefined): void {
  const spec = f.get('spec');
  const s = spec.value;
  if (!s?.rules?.length && !s?.defaultBackend)
    spec.invalid('either `defaultBackend` or `rules` must be specified', null);
  spec.get('defaultBackend').with(backend);
  const lax = laxWildcards(old);
  spec.get('rules').each((r) => {
    const name = r.get('host');
    if (name.value) {
      name.check(isIP(name.value) === 0, 'must be a DNS name, not an IP address');
      host(name);
    }
    if (!lax || !r.value?.host?.includes('*')) ruleValue(r);
  });
  const laxSecrets = (old?.spec?.tls ?? []).some((t) => badSecret(t.secretName));
  spec.get('tls').each((t) => {
    t.get('hosts').each(host);
    if (!laxSecrets) t.get('secretName').format(dns1123Subdomain);
  });
  if (spec.get('ingressClassName').isSet) spec.get('ingressClassName').formatAll(dns1123Subdomain);
}

const MAX_HOSTS = 3;
function hostsCell(list: DeepReadonly<Rule[]>): string {
  const named = list.map((r) => r.host ?? '').filter((h) => h !== '');
  if (named.length === 0) return '*';
  const more = named.length >= MAX_HOSTS && list.length > MAX_HOSTS;
  return named.slice(0, MAX_HOSTS).join(',') + (more ? ` + ${list.length - MAX_HOSTS} more...` : '');
}

export const ingresses = define<Ingress>(GROUP, 'ingresses', 'Ingress', 'Namespaced', {
  strategy: {
    ...specAndStatus<Ingress>({ prepareForCreate: (i) => void (i.status = { loadBalancer: {} }) }),
    ...rules<Ingress>({
      scope: 'Namespaced',
      always: (f, _ctx, old) => ingressSpec(f, old),
      create(f) {
        const annotation = f.value?.metadata?.annotations?.[CLASS_ANNOTATION];
        const name = f.value?.spec?.ingressClassName;
        if (annotation !== undefined && name !== undefined && annotation !== name) {
          f.named('annotations')
            .named(CLASS_ANNOTATION, annotation)
            .invalid('must match `ingressClassName` when both are specified');
        }
      },
    }),
    warnings: (i, old) =>
      !old && i.metadata?.annotations?.[CLASS_ANNOTATION] !== undefined
        ? [`annotation ${JSON.stringify(CLASS_ANNOTATION)} is deprecated, please use 'spec.ingressClassName' instead`]
        : [],
  },
  subresources: {
    status: statusEndpoint<Ingress>({
      ...statusRules((f, old) => {
        const stored = new Set((old.status?.loadBalancer?.ingress ?? []).map((i) => i.ip));
        f.get('status')
          .get('loadBalancer')
          .get('ingress')
          .each((i) => {
            if (i.value?.ip && !stored.has(i.value.ip)) i.get('ip').formatAll(ip);
            const name = i.get('hostname');
            name.format(dns1123Subdomain);
            if (name.value) name.check(isIP(name.value) === 0, 'must be a DNS name, not an IP address');
          });
      }),
      warnings: (i) =>
        (i.status?.loadBalancer?.ingress ?? []).flatMap((g, n) =>
          g.ip ? addressWarnings(`status.loadBalancer.ingress[${n}]`, g.ip) : [],
        ),
    }),
  },
  table: {
    cells: (i, now) => [
      nameOf(i),
      i.spec?.ingressClassName ?? NONE,
      hostsCell(i.spec?.rules ?? []),
      (i.status?.loadBalancer?.ingress ?? [])
        .map((g) => g.ip || g.hostname || '')
        .filter(Boolean)
        .join(','),
      i.spec?.tls?.length ? '80, 443' : '80',
      age(i, now),
    ],
  },
});

type Class = Json<k8s.V1IngressClass>;

function parameters(f: Field<Json<k8s.V1IngressClassParametersReference>>): void {
  reference(f as unknown as Field<Reference>);
  const scope = f.get('scope');
  const ns = f.get('namespace');
  if (!scope.isSet) return void scope.missing();
  scope.oneOf(['Cluster', 'Namespace']);
  if (scope.value === 'Namespace') {
    if (ns.isSet) ns.formatAll(dns1123Label);
    else ns.missing("`parameters.scope` is set to 'Namespace'");
  }
  if (scope.value === 'Cluster' && ns.isSet) ns.forbidden("`parameters.scope` is set to 'Cluster'");
}

export const ingressClasses = define<Class>(GROUP, 'ingressclasses', 'IngressClass', 'Cluster', {
  strategy: {
    ...withGeneration<Class>(),
    defaults(c) {
      if (c.spec?.parameters) c.spec.parameters.scope ??= 'Cluster';
    },
    ...rules<Class>({
      scope: 'Cluster',
      always(f) {
        const controller = f.get('spec').get('controller');
        controller.maxLength(250);
        domainPrefixedPath(controller);
        f.get('spec').get('parameters').with(parameters);
      },
      update: (f, old) => f.get('spec').get('controller').immutable(old.spec?.controller),
    }),
  },
  table: {
    cells(c, now) {
      const p = c.spec?.parameters;
      const isDefault = c.metadata?.annotations?.['ingressclass.kubernetes.io/is-default-class'] === 'true';
      const kind = p?.apiGroup === undefined ? p?.kind : `${p.kind}.${p.apiGroup}`;
      return [
        nameOf(c) + (isDefault ? ' (default)' : ''),
        c.spec?.controller ?? '',
        p ? `${kind}/${p.name}` : NONE,
        age(c, now),
      ];
    },
  },
});
