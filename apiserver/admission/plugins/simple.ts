/** Plugins of a few lines: AlwaysPullImages, DenyServiceExternalIPs, NamespaceExists, PodResizeValidator, NodeDeclaredFeatureValidator. */
import { semanticEqual } from '../../../api/meta.ts';
import { Quantity } from '../../../api/quantity.ts';
import { notFound, type StatusError } from '../../../api/status.ts';
import type { DeepReadonly, Namespace, Node, Pod, Service } from '../../../api/types.ts';
import { deny, isOn, type PluginFactory } from '../plugin.ts';
import { podTotals } from '../../../api/pod-resources.ts';
import type { AdmissionAttributes } from '../types.ts';

/** Every start of a container checks the right to its image. Off by default. */
export const alwaysPullImages: PluginFactory = () => ({
  name: 'AlwaysPullImages',
  handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
  admit(a) {
    if (
      a.resource.resource !== 'pods' ||
      a.resource.group !== '' ||
      (a.subresource !== '' && a.subresource !== 'ephemeralcontainers')
    )
      return;
    const spec = (a.object as Pod | undefined)?.spec;
    if (!spec) return;
    for (const c of [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])])
      c.imagePullPolicy = 'Always';
  },
});

/** No new external IPs on services (CVE-2020-8554). Off by default. */
export const denyServiceExternalIPs: PluginFactory = () => ({
  name: 'DenyServiceExternalIPs',
  handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
  validate(a) {
    if (!isOn(a, '', 'services')) return;
    const ips = (a.object as DeepReadonly<Service>).spec?.externalIPs ?? [];
    const old = (a.oldObject as DeepReadonly<Service> | undefined)?.spec?.externalIPs ?? [];
    if (ips.some((ip) => !old.includes(ip))) throw deny(a, 'Use of external IPs is denied by admission control');
  },
});

/** Objects only in namespaces that exist; NamespaceLifecycle does that and more. Off by default. */
export const namespaceExists: PluginFactory = ({ reader, objects }) => ({
  name: 'NamespaceExists',
  handles: (operation) => operation !== 'CONNECT',
  async validate(a) {
    if (a.namespace === '' || a.resource.resource === 'namespaces') return;
    const found =
      reader.get<Namespace>('namespaces', '', a.namespace) ??
      (await objects.find<Namespace>('namespaces', '', a.namespace));
    if (!found) throw notFound({ group: '', resource: 'namespaces' }, a.namespace);
  },
});

type Spec = NonNullable<DeepReadonly<Pod>['spec']>;
/** Features of a kubelet by the changes of a pod that need them. */
const NEEDED_FOR: Readonly<Record<string, (old: Spec, now: Spec) => boolean>> = {
  InPlacePodLevelResourcesVerticalScaling: (old, now) => !semanticEqual(old.resources, now.resources),
  InPlacePodVerticalScalingInitContainers: (old, now) =>
    (old.initContainers ?? []).some(
      (c, i) => c.restartPolicy !== 'Always' && !semanticEqual(c.resources, now.initContainers?.[i]?.resources),
    ),
};

/** A pod can't be changed in a way that its node has not said it knows (KEP-5328). */
export const nodeDeclaredFeatureValidator: PluginFactory = ({ reader }) => ({
  name: 'NodeDeclaredFeatureValidator',
  handles: (operation) => operation === 'UPDATE',
  validate(a) {
    if (!isOn(a, '', 'pods') && !isOn(a, '', 'pods', 'resize')) return;
    const pod = a.object as DeepReadonly<Pod>;
    const old = a.oldObject as DeepReadonly<Pod>;
    const nodeName = pod.spec?.nodeName;
    if (!nodeName || !old.spec || pod.metadata?.generation === old.metadata?.generation) return;
    const needs = Object.keys(NEEDED_FOR).filter((f) => NEEDED_FOR[f]!(old.spec!, pod.spec!));
    if (needs.length === 0) return;
    const node = reader.get<Node>('nodes', '', nodeName);
    if (!node) throw deny(a, `node ${JSON.stringify(nodeName)} not found`);
    const has = (node.status as { declaredFeatures?: readonly string[] } | undefined)?.declaredFeatures ?? [];
    const missing = needs.filter((f) => !has.includes(f));
    if (missing.length > 0)
      throw deny(
        a,
        `pod update requires features ${missing.join(', ')} which are not available on node ${JSON.stringify(nodeName)}`,
      );
  },
});

function resizeError(a: AdmissionAttributes, why: string, reason: string): StatusError {
  const error = deny(a, why);
  error.status.details = { ...error.status.details, causes: [{ reason }] };
  return error;
}

/** A pod can't be resized beyond what its node could ever give (KEP-1287). */
export const podResizeValidator: PluginFactory = ({ reader }) => ({
  name: 'PodResizeValidator',
  handles: (operation) => operation === 'UPDATE',
  validate(a) {
    if (!isOn(a, '', 'pods', 'resize')) return;
    const pod = a.object as DeepReadonly<Pod>;
    const old = a.oldObject as DeepReadonly<Pod>;
    const nodeName = pod.spec?.nodeName;
    if (!nodeName || semanticEqual(pod.metadata?.generation, old.metadata?.generation)) return;
    const node = reader.get<Node>('nodes', '', nodeName);
    if (!node) throw deny(a, `node ${JSON.stringify(nodeName)} not found`);
    const os = node.metadata?.labels?.['kubernetes.io/os'];
    if (os !== undefined && os !== 'linux') {
      throw resizeError(
        a,
        `pod resize is only supported on linux nodes, node ${JSON.stringify(nodeName)} is ${JSON.stringify(os)}`,
        'UnsupportedPlatform',
      );
    }
    const wanted = podTotals(pod.spec, 'requests', true);
    const problems: string[] = [];
    for (const [name, show] of [
      ['cpu', (q: Quantity) => q.asMilli()],
      ['memory', (q: Quantity) => q.asInteger()],
    ] as const) {
      const allocatable = Quantity.tryParse(node.status?.allocatable?.[name] ?? '0') ?? Quantity.zero;
      const request = wanted.get(name) ?? Quantity.zero;
      if (request.compare(allocatable) > 0)
        problems.push(`${name}, requested: ${show(request)}, allocatable: ${show(allocatable)}`);
    }
    if (problems.length)
      throw resizeError(a, `node didn't have enough allocatable resources: ${problems.join('; ')}`, 'NodeCapacity');
  },
});
