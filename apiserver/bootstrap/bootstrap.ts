/** Creates the objects that every cluster has, and keeps them up to date from one version to the next. */
import type { ConfigMap, DeepReadonly, KubeObject } from '../../api/types.ts';
import { formatTime, type Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { RequestHeaderOptions } from '../authentication/requestheader.ts';
import type { ObjectReader } from '../registry/definition.ts';
import type { Writer } from '../registry/writer.ts';
import { loadBootstrapFacts, type BootstrapFacts } from './facts.ts';
import { reconcileBinding, reconcileFlowObject, reconcileRole } from './reconcile.ts';

export interface BootstrapOptions {
  clock: Clock;
  logger: Logger;
  reader: ObjectReader;
  /** Writes as the server itself, with kube-apiserver as the field manager. */
  writer: Writer;
  /** Absent: read from api/facts. */
  facts?: BootstrapFacts;
  /** --service-cluster-ip-range, one or two ranges. */
  serviceCidrs: readonly string[];
  /** For the extension-apiserver-authentication ConfigMap. */
  clientCa?: string;
  requestHeader?: RequestHeaderOptions & { clientCa: string };
}

const RBAC = 'rbac.authorization.k8s.io';
const RBAC_VERSION = `${RBAC}/v1`;
const FLOW = 'flowcontrol.apiserver.k8s.io';
/** Writes under way at one time. */
const PARALLEL = 32;

/** Runs the jobs, a few at a time; the first failure is thrown once all are over. */
async function inParallel(jobs: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  let next = 0;
  const worker = async () => {
    while (next < jobs.length) {
      const job = jobs[next++]!;
      try {
        await job();
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, jobs.length) }, worker));
  if (failures.length) throw failures[0];
}

type Writing = Pick<BootstrapOptions, 'reader' | 'writer' | 'logger'>;

/** Creates an object, or changes it as `reconcile` wants it. */
function ensurer(o: Writing) {
  return async function ensure<T extends KubeObject>(
    resource: string,
    apiVersion: string,
    kind: string,
    expected: T,
    reconcile: (current: DeepReadonly<T>, expected: T) => T | 'recreate' | undefined,
  ): Promise<void> {
    const namespace = expected.metadata?.namespace ?? '';
    const name = expected.metadata!.name!;
    const object = { ...expected, apiVersion, kind, metadata: { ...expected.metadata } };
    const current = o.reader.get<T>(resource, namespace, name);
    if (current) {
      if (reconcile(current, expected) === undefined) return;
    } else if (await o.writer.createIfAbsent(resource, namespace, object)) return;
    let recreate = false;
    await o.writer.update<T>(resource, namespace, name, (now) => {
      const next = reconcile(now, expected);
      recreate = next === 'recreate';
      return next === 'recreate' ? undefined : next;
    });
    if (!recreate) return;
    o.logger.warn('a bootstrap binding points at another role and is made anew', { resource, name });
    await o.writer.delete(resource, namespace, name);
    await o.writer.create(resource, namespace, object);
  };
}

/** The flow schemas and priority levels of every cluster; called again each minute, since they are never to be missing. */
export async function ensureFlowObjects(o: Writing & { facts?: BootstrapFacts }): Promise<void> {
  const facts = o.facts ?? loadBootstrapFacts();
  const ensure = ensurer(o);
  const version = `${FLOW}/v1`;
  await inParallel([
    ...facts.prioritylevelconfigurations.map(
      (p) => () =>
        ensure(`${FLOW}/prioritylevelconfigurations`, version, 'PriorityLevelConfiguration', p, reconcileFlowObject),
    ),
    ...facts.flowschemas.map((f) => () => ensure(`${FLOW}/flowschemas`, version, 'FlowSchema', f, reconcileFlowObject)),
  ]);
}

/** Resolves when all objects are there (the system's namespaces are made elsewhere); safe to run at each start and on several servers at once. */
export async function ensureBootstrapObjects(o: BootstrapOptions): Promise<void> {
  const facts = o.facts ?? loadBootstrapFacts();
  const ensure = ensurer(o);
  const once = () => undefined;

  await inParallel([
    ...facts.clusterroles.map(
      (r) => () => ensure(`${RBAC}/clusterroles`, RBAC_VERSION, 'ClusterRole', r, reconcileRole),
    ),
    ...facts.roles.map(
      (r) => () =>
        ensure(
          `${RBAC}/roles`,
          RBAC_VERSION,
          'Role',
          r as typeof r & { aggregationRule?: undefined },
          reconcileRole as never,
        ),
    ),
    ...facts.priorityclasses.map(
      (p) => () => ensure('scheduling.k8s.io/priorityclasses', 'scheduling.k8s.io/v1', 'PriorityClass', p, once),
    ),
  ]);
  await inParallel([
    ...facts.clusterrolebindings.map(
      (b) => () => ensure(`${RBAC}/clusterrolebindings`, RBAC_VERSION, 'ClusterRoleBinding', b, reconcileBinding),
    ),
    ...facts.rolebindings.map(
      (b) => () => ensure(`${RBAC}/rolebindings`, RBAC_VERSION, 'RoleBinding', b, reconcileBinding as never),
    ),
    () => ensureServiceCidr(o),
    () => ensureAuthenticationConfig(o),
  ]);
}

interface ServiceCidr extends KubeObject {
  spec?: { cidrs?: string[] };
  status?: {
    conditions?: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[];
  };
}
const CIDRS = 'networking.k8s.io/servicecidrs';

/** The default ServiceCIDR and its Ready condition (KEP-1880). */
async function ensureServiceCidr(o: BootstrapOptions): Promise<void> {
  if (!o.reader.get<ServiceCidr>(CIDRS, '', 'kubernetes'))
    await o.writer.createIfAbsent<ServiceCidr>(CIDRS, '', {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'kubernetes' },
      spec: { cidrs: [...o.serviceCidrs] },
    });
  await o.writer.update<ServiceCidr>(
    CIDRS,
    '',
    'kubernetes',
    (now) => {
      const conditions = now.status?.conditions ?? [];
      if (conditions.some((c) => c.type === 'Ready')) return undefined;
      if (JSON.stringify(now.spec?.cidrs) !== JSON.stringify(o.serviceCidrs)) {
        o.logger.warn('the default ServiceCIDR differs from --service-cluster-ip-range', {
          stored: now.spec?.cidrs,
          flag: o.serviceCidrs,
        });
      }
      const ready = {
        type: 'Ready',
        status: 'True',
        reason: '',
        message: 'Kubernetes default Service CIDR is ready',
        lastTransitionTime: formatTime(o.clock.now()),
      };
      return { ...(now as ServiceCidr), status: { conditions: [...(conditions as (typeof ready)[]), ready] } };
    },
    'status',
  );
}

/** What aggregated API servers need to trust this one's users; call it again when a CA file has changed. */
export async function ensureAuthenticationConfig(
  o: Pick<BootstrapOptions, 'reader' | 'writer' | 'clientCa' | 'requestHeader'>,
): Promise<void> {
  const r = o.requestHeader;
  const data: Record<string, string> = {
    ...(o.clientCa === undefined ? {} : { 'client-ca-file': o.clientCa }),
    ...(r
      ? {
          'requestheader-allowed-names': JSON.stringify(r.allowedNames),
          'requestheader-client-ca-file': r.clientCa,
          'requestheader-extra-headers-prefix': JSON.stringify(r.extraHeaderPrefixes),
          'requestheader-group-headers': JSON.stringify(r.groupHeaders),
          ...(r.uidHeaders?.length ? { 'requestheader-uid-headers': JSON.stringify(r.uidHeaders) } : {}),
          'requestheader-username-headers': JSON.stringify(r.usernameHeaders),
        }
      : {}),
  };
  const name = 'extension-apiserver-authentication';
  const isCurrent = (c: DeepReadonly<ConfigMap>) => Object.entries(data).every(([k, v]) => c.data?.[k] === v);
  const current = o.reader.get<ConfigMap>('configmaps', 'kube-system', name);
  if (current && isCurrent(current)) return;
  if (!current) {
    const map: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'kube-system' }, data };
    if (await o.writer.createIfAbsent('configmaps', 'kube-system', map)) return;
  }
  await o.writer.update<ConfigMap>('configmaps', 'kube-system', name, (now) =>
    isCurrent(now) ? undefined : { ...(now as ConfigMap), data: { ...now.data, ...data } },
  );
}

/** Since when the use of legacy tokens is noted: controllers remove unused ones a year later (KEP-2799). */
export async function ensureLegacyTokenTracking(
  o: Pick<BootstrapOptions, 'reader' | 'writer' | 'clock'>,
): Promise<void> {
  const name = 'kube-apiserver-legacy-service-account-token-tracking';
  if (o.reader.get<ConfigMap>('configmaps', 'kube-system', name)) return;
  const data = { since: formatTime(o.clock.now()).slice(0, 10) };
  await o.writer.createIfAbsent<ConfigMap>('configmaps', 'kube-system', {
    metadata: { name, namespace: 'kube-system' },
    data,
  });
}
