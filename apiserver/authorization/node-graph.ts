/** Which objects belong to which node: through the pods bound to it, their volumes' claims, and direct references. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, Pod } from '../../api/types.ts';
import type { Entry } from '../storage/cache.ts';
import { follow, type CacheLookup } from './follow.ts';

/** What can be reached from a node. Pods, volume attachments and so on carry the node's name themselves. */
export type NodeObjectKind =
  | 'secrets'
  | 'configmaps'
  | 'persistentvolumeclaims'
  | 'persistentvolumes'
  | 'serviceaccounts'
  | 'resourceclaims'
  | 'pods'
  | 'volumeattachments'
  | 'resourceslices'
  | 'podcertificaterequests';

export interface NodeGraph {
  /** True when the node has a reason to know this object. */
  reaches(node: string, kind: NodeObjectKind, namespace: string, name: string): boolean;
  close(): void;
}

const key = (kind: NodeObjectKind, namespace: string, name: string) => `${kind}/${namespace}/${name}`;

interface EnvSource {
  readonly env?: DeepReadonly<Json<k8s.V1EnvVar>[]>;
  readonly envFrom?: DeepReadonly<Json<k8s.V1EnvFromSource>[]>;
}

/** The objects that a pod's spec and claim statuses refer to, as graph keys. */
export function podReferences(pod: DeepReadonly<Pod>): string[] {
  const spec = pod.spec!;
  const ns = pod.metadata?.namespace ?? '';
  const name = pod.metadata?.name ?? '';
  const out = new Set<string>([key('pods', ns, name)]);
  // A node may create mirror pods, so they must not open anything.
  if (pod.metadata?.annotations?.['kubernetes.io/config.mirror'] !== undefined) return [...out];
  const add = (kind: NodeObjectKind, n: string | undefined) => {
    if (n) out.add(key(kind, ns, n));
  };
  add('serviceaccounts', spec.serviceAccountName);
  for (const s of spec.imagePullSecrets ?? []) add('secrets', s.name);
  const containers: readonly EnvSource[] = [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ];
  for (const c of containers) {
    for (const e of c.envFrom ?? []) {
      add('secrets', e.secretRef?.name);
      add('configmaps', e.configMapRef?.name);
    }
    for (const e of c.env ?? []) {
      add('secrets', e.valueFrom?.secretKeyRef?.name);
      add('configmaps', e.valueFrom?.configMapKeyRef?.name);
    }
  }
  for (const v of spec.volumes ?? []) {
    add('secrets', v.azureFile?.secretName);
    add('secrets', v.secret?.secretName);
    add('secrets', v.csi?.nodePublishSecretRef?.name);
    for (const source of [v.cephfs, v.cinder, v.flexVolume, v.rbd, v.scaleIO, v.iscsi, v.storageos])
      add('secrets', source?.secretRef?.name);
    add('configmaps', v.configMap?.name);
    for (const p of v.projected?.sources ?? []) {
      add('secrets', p.secret?.name);
      add('configmaps', p.configMap?.name);
    }
    add('persistentvolumeclaims', v.persistentVolumeClaim?.claimName);
    if (v.ephemeral) add('persistentvolumeclaims', `${name}-${v.name}`);
  }
  for (const c of spec.resourceClaims ?? []) {
    add(
      'resourceclaims',
      c.resourceClaimName ?? pod.status?.resourceClaimStatuses?.find((s) => s.name === c.name)?.resourceClaimName,
    );
  }
  const extended = pod.status as { extendedResourceClaimStatus?: { resourceClaimName?: string } } | undefined;
  add('resourceclaims', extended?.extendedResourceClaimStatus?.resourceClaimName);
  return [...out];
}

/** The secrets a kubelet needs to mount this volume. */
function volumeSecrets(pv: DeepReadonly<Json<k8s.V1PersistentVolume>>): string[] {
  const s = pv.spec!;
  const claimNamespace = s.claimRef?.namespace ?? '';
  const out: string[] = [];
  const add = (namespace: string | undefined, name: string | undefined) => {
    if (name) out.push(key('secrets', namespace || claimNamespace, name));
  };
  add(s.azureFile?.secretNamespace, s.azureFile?.secretName);
  for (const ref of [
    s.cephfs?.secretRef,
    s.cinder?.secretRef,
    s.flexVolume?.secretRef,
    s.rbd?.secretRef,
    s.scaleIO?.secretRef,
    s.iscsi?.secretRef,
    s.storageos?.secretRef,
    s.csi?.nodePublishSecretRef,
    s.csi?.nodeStageSecretRef,
    s.csi?.nodeExpandSecretRef,
  ]) {
    add(ref?.namespace, ref?.name);
  }
  return out;
}

interface Vertex {
  readonly node: string;
  readonly refs: readonly string[];
}

/** Keys of a pod's JSON that stand before references which may come later than the pod. */
const GROWING = ['"ephemeralContainers":', '"resourceClaimStatuses":', '"extendedResourceClaimStatus":'].map((k) =>
  Buffer.from(k),
);

/** Builds the graph from the caches and keeps it up to date. */
export function createNodeGraph(caches: CacheLookup): NodeGraph {
  /** Cache key of a pod (or attachment, slice ...) -> what it ties to its node. */
  const sources = new Map<string, Vertex>();
  /** Graph key -> node -> number of sources. */
  const nodes = new Map<string, Map<string, number>>();
  /** By cache key. */
  const volumes = new Map<string, { name: string; claim: string; secrets: readonly string[] }>();
  const volumeIds = new Map<string, string>();
  /** Secret key -> names of volumes. */
  const secretVolumes = new Map<string, Set<string>>();

  function removeSource(id: string): void {
    const v = sources.get(id);
    if (!v) return;
    sources.delete(id);
    for (const ref of v.refs) {
      const counts = nodes.get(ref)!;
      const n = counts.get(v.node)! - 1;
      if (n > 0) counts.set(v.node, n);
      else if (counts.size === 1) nodes.delete(ref);
      else counts.delete(v.node);
    }
  }
  function setSource(id: string, node: string, refs: readonly string[]): void {
    removeSource(id);
    if (node === '') return;
    sources.set(id, { node, refs });
    for (const ref of refs) {
      const counts = nodes.get(ref);
      if (counts) counts.set(node, (counts.get(node) ?? 0) + 1);
      else nodes.set(ref, new Map([[node, 1]]));
    }
  }
  function removeVolume(id: string): void {
    const v = volumes.get(id);
    if (!v) return;
    volumes.delete(id);
    volumeIds.delete(v.name);
    for (const s of v.secrets) {
      const set = secretVolumes.get(s)!;
      set.delete(id);
      if (set.size === 0) secretVolumes.delete(s);
    }
  }

  const followers: { close(): void }[] = [];
  const watch = (
    resource: string,
    put: (id: string, object: unknown) => void,
    remove: (id: string) => void,
    skip?: (entry: Entry, previous: Entry | undefined) => boolean,
  ) => {
    const cache = caches(resource);
    if (cache) {
      followers.push(
        follow(cache, {
          put(e, previous) {
            if (!skip?.(e, previous)) put(`${resource}:${e.key}`, e.object());
          },
          delete: (k) => remove(`${resource}:${k}`),
        }),
      );
    }
  };

  watch(
    'pods',
    (id, object) => {
      const pod = object as DeepReadonly<Pod>;
      setSource(id, pod.spec?.nodeName ?? '', pod.spec?.nodeName ? podReferences(pod) : []);
    },
    removeSource,
    // Nearly all changes of pods are to their status; what a pod refers to changes in two ways only.
    (e, previous) =>
      previous !== undefined &&
      e.fields['spec.nodeName'] !== undefined &&
      e.fields['spec.nodeName'] === previous.fields['spec.nodeName'] &&
      !GROWING.some((key) => e.json.includes(key)),
  );
  watch(
    'persistentvolumes',
    (id, object) => {
      removeVolume(id);
      const pv = object as DeepReadonly<Json<k8s.V1PersistentVolume>>;
      const ref = pv.spec?.claimRef;
      if (!ref) return;
      const secrets = volumeSecrets(pv);
      volumes.set(id, {
        name: pv.metadata!.name!,
        claim: key('persistentvolumeclaims', ref.namespace ?? '', ref.name ?? ''),
        secrets,
      });
      volumeIds.set(pv.metadata!.name!, id);
      for (const s of secrets) {
        const set = secretVolumes.get(s);
        if (set) set.add(id);
        else secretVolumes.set(s, new Set([id]));
      }
    },
    removeVolume,
  );
  const direct = (resource: string, kind: NodeObjectKind) =>
    watch(
      resource,
      (id, object) => {
        const o = object as DeepReadonly<Json<k8s.V1VolumeAttachment>>;
        setSource(id, o.spec?.nodeName ?? '', [key(kind, o.metadata?.namespace ?? '', o.metadata!.name!)]);
      },
      removeSource,
    );
  direct('storage.k8s.io/volumeattachments', 'volumeattachments');
  direct('resource.k8s.io/resourceslices', 'resourceslices');
  direct('certificates.k8s.io/podcertificaterequests', 'podcertificaterequests');

  const onNode = (node: string, graphKey: string) => nodes.get(graphKey)?.has(node) ?? false;
  return {
    reaches(node, kind, namespace, name) {
      if (kind === 'persistentvolumes') {
        const volume = volumes.get(volumeIds.get(name) ?? '');
        return volume !== undefined && onNode(node, volume.claim);
      }
      const k = key(kind, namespace, name);
      if (onNode(node, k)) return true;
      if (kind !== 'secrets') return false;
      for (const id of secretVolumes.get(k) ?? []) if (onNode(node, volumes.get(id)!.claim)) return true;
      return false;
    },
    close() {
      for (const f of followers) f.close();
    },
  };
}
