/** NodeRestriction: a kubelet changes only its own node and what belongs to the pods on it. */
import type * as k8s from '@kubernetes/client-node';
import { deepEqual, semanticEqual } from '../../../api/meta.ts';
import { notFound } from '../../../api/status.ts';
import type {
  DeepReadonly,
  Json,
  KubeObject,
  Lease,
  Node,
  PersistentVolumeClaim,
  Pod,
  ServiceAccount,
} from '../../../api/types.ts';
import { parseCsr } from '../../../base/pki.ts';
import { podReferences } from '../../authorization/node-graph.ts';
import { nodeOf } from '../../authorization/node.ts';
import { deny, type PluginDeps, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

type TokenRequest = Json<k8s.AuthenticationV1TokenRequest>;
type Csr = DeepReadonly<Json<k8s.V1CertificateSigningRequest>>;
interface PodCertificateRequest extends KubeObject {
  spec?: {
    nodeName?: string;
    nodeUID?: string;
    podName?: string;
    podUID?: string;
    serviceAccountName?: string;
    serviceAccountUID?: string;
  };
}

const MIRROR = 'kubernetes.io/config.mirror';
/** Labels of kubernetes.io that kubelets may set on their node. */
const KUBELET_LABELS = new Set([
  'kubernetes.io/hostname',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'beta.kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
]);
const within = (namespace: string, domain: string) => namespace === domain || namespace.endsWith(`.${domain}`);

function isForbiddenLabel(key: string): boolean {
  const slash = key.indexOf('/');
  const namespace = slash < 0 ? '' : key.slice(0, slash);
  if (within(namespace, 'node-restriction.kubernetes.io')) return true;
  if (!within(namespace, 'kubernetes.io') && !within(namespace, 'k8s.io')) return false;
  return (
    !KUBELET_LABELS.has(key) && !within(namespace, 'kubelet.kubernetes.io') && !within(namespace, 'node.kubernetes.io')
  );
}

type Labels = Readonly<Record<string, string>> | undefined;
function forbiddenChanges(now: Labels, old: Labels): string[] {
  const keys = new Set([...Object.keys(now ?? {}), ...Object.keys(old ?? {})]);
  return [...keys].filter((k) => now?.[k] !== old?.[k] && isForbiddenLabel(k)).sort();
}

/** The kind of API object that a pod depends on, if any; mirror pods may not. */
function referencedKind(pod: DeepReadonly<Pod>): string | undefined {
  const plain = { ...pod, metadata: { ...pod.metadata, annotations: {} } } as DeepReadonly<Pod>;
  const kinds = podReferences(plain).map((r) => r.slice(0, r.indexOf('/')));
  const found = ['serviceaccounts', 'secrets', 'configmaps', 'resourceclaims', 'persistentvolumeclaims'].find((k) =>
    kinds.includes(k),
  );
  if (found) return found;
  if (pod.spec?.resourceClaims?.length) return 'resourceclaims';
  for (const v of pod.spec?.volumes ?? []) {
    if (v.csi) return 'csidrivers (via CSI volumes)';
    if (v.glusterfs) return 'endpoints (via glusterFS volumes)';
    for (const s of v.projected?.sources ?? []) {
      if (s.serviceAccountToken) return 'serviceaccounts (via projected volumes)';
      if (s.clusterTrustBundle) return 'clustertrustbundles';
      if ('podCertificate' in s && s.podCertificate) return 'podcertificates';
    }
  }
  return undefined;
}

export const nodeRestriction: PluginFactory = (deps) => {
  const { reader } = deps;
  const getPod = async (a: AdmissionAttributes, name: string): Promise<DeepReadonly<Pod>> => {
    const pod = reader.get<Pod>('pods', a.namespace, name) ?? (await deps.objects.find<Pod>('pods', a.namespace, name));
    if (!pod) throw notFound({ group: '', resource: 'pod' }, name);
    return pod;
  };
  const getNode = (name: string): DeepReadonly<Node> => {
    const node = reader.get<Node>('nodes', '', name);
    if (!node) throw notFound({ group: '', resource: 'node' }, name);
    return node;
  };

  function createPod(a: AdmissionAttributes, me: string): void {
    const pod = a.object as DeepReadonly<Pod>;
    const q = JSON.stringify(me);
    if (pod.metadata?.annotations?.[MIRROR] === undefined)
      throw deny(a, `pod does not have "${MIRROR}" annotation, node ${q} can only create mirror pods`);
    if (pod.spec?.nodeName !== me) throw deny(a, `node ${q} can only create pods with spec.nodeName set to itself`);
    const owners = pod.metadata.ownerReferences ?? [];
    if (owners.length > 1) throw deny(a, `node ${q} can only create pods with a single owner reference set to itself`);
    const owner = owners[0];
    if (!owner || owner.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== me) {
      throw deny(a, `node ${q} can only create pods with an owner reference set to itself`);
    }
    if (!owner.controller)
      throw deny(a, `node ${q} can only create pods with a controller owner reference set to itself`);
    if (owner.blockOwnerDeletion) throw deny(a, `node ${q} must not set blockOwnerDeletion on an owner reference`);
    const { uid } = getNode(me).metadata!;
    if (owner.uid !== uid) throw deny(a, `node ${me} UID mismatch: expected ${owner.uid} got ${uid}`);
    const kind = referencedKind(pod);
    if (kind !== undefined) throw deny(a, `node ${q} can not create pods that reference ${kind}`);
  }

  async function pods(a: AdmissionAttributes, me: string): Promise<void> {
    const q = JSON.stringify(me);
    if (a.subresource === '') {
      if (a.operation === 'CREATE') return createPod(a, me);
      if (a.operation !== 'DELETE')
        throw deny(
          a,
          `unexpected operation ${JSON.stringify(a.operation)}, node ${q} can only create and delete mirror pods`,
        );
      if (a.name === '') throw deny(a, `node ${q} can only delete single pods`);
      if ((await getPod(a, a.name)).spec?.nodeName !== me)
        throw deny(a, `node ${q} can only delete pods with spec.nodeName set to itself`);
    } else if (a.subresource === 'status') {
      if (a.operation !== 'UPDATE') throw deny(a, `unexpected operation ${JSON.stringify(a.operation)}`);
      const old = a.oldObject as DeepReadonly<Pod>;
      const now = a.object as DeepReadonly<Pod>;
      if (old.spec?.nodeName !== me)
        throw deny(a, `node ${q} can only update pod status for pods with spec.nodeName set to itself`);
      if (!semanticEqual(old.metadata?.labels, now.metadata?.labels))
        throw deny(a, `node ${q} cannot update labels through pod status`);
      if (!semanticEqual(old.status?.resourceClaimStatuses, now.status?.resourceClaimStatuses)) {
        throw deny(a, `node ${q} cannot update resource claim statues`);
      }
      const extended = (p: DeepReadonly<Pod>) =>
        (p.status as { extendedResourceClaimStatus?: unknown } | undefined)?.extendedResourceClaimStatus;
      if (!semanticEqual(extended(old), extended(now)))
        throw deny(a, `node ${q} cannot update extended resource claim status`);
    } else if (a.subresource === 'eviction') {
      if (a.operation !== 'CREATE') throw deny(a, `unexpected operation ${a.operation}`);
      const name = a.name || (a.object?.metadata?.name ?? '');
      if (name === '') throw deny(a, 'could not determine pod from request data');
      if ((await getPod(a, name)).spec?.nodeName !== me)
        throw deny(a, `node ${me} can only evict pods with spec.nodeName set to itself`);
    } else {
      throw deny(
        a,
        `unexpected pod subresource ${JSON.stringify(a.subresource)}, only 'status' and 'eviction' are allowed`,
      );
    }
  }

  function nodes(a: AdmissionAttributes, me: string): void {
    const q = JSON.stringify(me);
    const name = a.name || (a.object?.metadata?.name ?? '');
    if (name !== me) throw deny(a, `node ${q} is not allowed to modify node ${JSON.stringify(name)}`);
    const now = a.object as DeepReadonly<Node> | undefined;
    if (a.operation === 'CREATE') {
      if (now?.spec?.configSource) throw deny(a, `node ${q} is not allowed to create pods with a non-nil configSource`);
      const labels = forbiddenChanges(now?.metadata?.labels, undefined);
      if (labels.length) throw deny(a, `node ${q} is not allowed to set the following labels: ${labels.join(', ')}`);
    }
    if (a.operation !== 'UPDATE') return;
    const old = a.oldObject as DeepReadonly<Node>;
    if (now?.spec?.configSource && !deepEqual(now.spec.configSource, old.spec?.configSource)) {
      throw deny(a, `node ${q} is not allowed to update configSource to a new non-nil configSource`);
    }
    if (!semanticEqual(now?.spec?.taints, old.spec?.taints)) throw deny(a, `node ${q} is not allowed to modify taints`);
    if (!semanticEqual(now?.metadata?.ownerReferences, old.metadata?.ownerReferences))
      throw deny(a, `node ${q} is not allowed to modify ownerReferences`);
    const labels = forbiddenChanges(now?.metadata?.labels, old.metadata?.labels);
    if (labels.length) throw deny(a, `is not allowed to modify labels: ${labels.join(', ')}`);
  }

  function claimStatus(a: AdmissionAttributes, me: string): void {
    if (a.subresource !== 'status') throw deny(a, 'may only update PVC status');
    if (a.operation !== 'UPDATE') throw deny(a, `unexpected operation ${JSON.stringify(a.operation)}`);
    const rest = (o: DeepReadonly<PersistentVolumeClaim>) => {
      const { resourceVersion: _r, managedFields: _m, ...metadata } = o.metadata ?? {};
      const {
        capacity: _c,
        conditions: _d,
        allocatedResources: _a,
        allocatedResourceStatuses: _s,
        ...status
      } = o.status ?? {};
      return { ...o, metadata, status };
    };
    if (
      semanticEqual(rest(a.object as PersistentVolumeClaim), rest(a.oldObject as DeepReadonly<PersistentVolumeClaim>))
    )
      return;
    throw deny(
      a,
      `node ${JSON.stringify(me)} is not allowed to update fields other than status.quantity and status.conditions`,
    );
  }

  async function token(a: AdmissionAttributes, me: string): Promise<void> {
    if (a.operation !== 'CREATE' || a.subresource !== 'token') return;
    const request = a.object as TokenRequest;
    const ref = request.spec?.boundObjectRef;
    if (!ref || ref.apiVersion !== 'v1' || ref.kind !== 'Pod' || !ref.name)
      throw deny(a, 'node requested token not bound to a pod');
    if (!ref.uid) throw deny(a, 'node requested token with a pod binding without a uid');
    const pod = await getPod(a, ref.name);
    if (ref.uid !== pod.metadata?.uid) {
      throw deny(
        a,
        `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    if (pod.spec?.nodeName !== me) throw deny(a, 'node requested token bound to a pod scheduled on a different node');
    const audiences = request.spec?.audiences ?? [];
    if (audiences.length > 1) throw deny(a, 'node may only request 0 or 1 audiences');
    await checkAudience(deps, a, pod, audiences[0] ?? '');
  }

  function podCertificate(a: AdmissionAttributes, me: string): void {
    if (a.operation !== 'CREATE') throw deny(a, `unexpected operation ${a.operation}`);
    if (a.subresource !== '') throw deny(a, `unexpected subresource ${a.subresource}`);
    const { spec = {} } = a.object as PodCertificateRequest;
    const wrong = (what: string) =>
      deny(a, `the ${what} of the PodCertificateRequest is not that of the running pod on node ${JSON.stringify(me)}`);
    if (spec.nodeName !== me)
      throw deny(
        a,
        `PodCertificateRequest.Spec.NodeName=${JSON.stringify(spec.nodeName)}, which is not the requesting node ${JSON.stringify(me)}`,
      );
    if (getNode(me).metadata?.uid !== spec.nodeUID) throw wrong('node UID');
    const pod = reader.get<Pod>('pods', a.namespace, spec.podName ?? '');
    if (!pod) throw notFound({ group: '', resource: 'pod' }, spec.podName ?? '');
    if (pod.metadata?.uid !== spec.podUID) throw wrong('pod UID');
    if (pod.spec?.nodeName !== me) throw wrong('node');
    if (pod.metadata?.annotations?.[MIRROR] !== undefined)
      throw deny(a, `pod ${JSON.stringify(`${a.namespace}/${spec.podName}`)} is a mirror pod`);
    if (pod.spec.serviceAccountName !== spec.serviceAccountName) throw wrong('service account');
    const account = reader.get<ServiceAccount>('serviceaccounts', a.namespace, spec.serviceAccountName ?? '');
    if (account?.metadata?.uid !== spec.serviceAccountUID) throw wrong('service account UID');
  }

  return {
    name: 'NodeRestriction',
    handles: (operation) => operation !== 'CONNECT',
    async admit(a) {
      const me = nodeOf(a.user);
      if (me === undefined) return;
      if (me === '') throw deny(a, `could not determine node from user ${JSON.stringify(a.user.name)}`);
      const name = a.operation === 'CREATE' ? (a.object?.metadata?.name ?? '') : a.name;
      switch (`${a.resource.group}/${a.resource.resource}`) {
        case '/pods':
          return pods(a, me);
        case '/nodes':
          return nodes(a, me);
        case '/persistentvolumeclaims':
          return claimStatus(a, me);
        case '/serviceaccounts':
          return token(a, me);
        case 'certificates.k8s.io/podcertificaterequests':
          return podCertificate(a, me);
        case 'coordination.k8s.io/leases':
          if (a.namespace !== 'kube-node-lease')
            throw deny(a, 'can only access leases in the "kube-node-lease" system namespace');
          if (((a.object as Lease | undefined)?.metadata?.name ?? name) !== me)
            throw deny(a, 'can only access node lease with the same name as the requesting node');
          return;
        case 'storage.k8s.io/csinodes':
          if (name !== me) throw deny(a, 'can only access CSINode with the same name as the requesting node');
          return;
        case 'resource.k8s.io/resourceslices': {
          if (a.operation === 'UPDATE') return;
          const slice = (a.operation === 'CREATE' ? a.object : a.oldObject) as
            | { spec?: { nodeName?: string } }
            | undefined;
          if (slice?.spec?.nodeName !== me)
            throw deny(
              a,
              `can only ${a.operation.toLowerCase()} ResourceSlice with the same NodeName as the requesting node`,
            );
          return;
        }
        case 'certificates.k8s.io/certificatesigningrequests':
          return signingRequest(a, me);
        default:
      }
    },
  };
};

/** Kubelets get tokens for the audiences that the pod's volumes ask for, or that they are allowed by a rule. */
async function checkAudience(
  { reader, authorizer }: PluginDeps,
  a: AdmissionAttributes,
  pod: DeepReadonly<Pod>,
  audience: string,
): Promise<void> {
  const drivers: (string | undefined)[] = [];
  const driverOf = (claim: string | undefined) => {
    const volume =
      claim === undefined
        ? undefined
        : reader.get<PersistentVolumeClaim>('persistentvolumeclaims', a.namespace, claim)?.spec?.volumeName;
    return volume === undefined
      ? undefined
      : reader.get<Json<k8s.V1PersistentVolume>>('persistentvolumes', '', volume)?.spec?.csi?.driver;
  };
  for (const v of pod.spec?.volumes ?? []) {
    if (v.projected?.sources?.some((s) => s.serviceAccountToken && (s.serviceAccountToken.audience ?? '') === audience))
      return;
    if (v.csi) drivers.push(v.csi.driver);
    if (v.persistentVolumeClaim) drivers.push(driverOf(v.persistentVolumeClaim.claimName));
    if (v.ephemeral) drivers.push(driverOf(`${pod.metadata?.name}-${v.name}`));
  }
  for (const name of drivers) {
    const driver =
      name === undefined ? undefined : reader.get<Json<k8s.V1CSIDriver>>('storage.k8s.io/csidrivers', '', name);
    if (driver?.spec.tokenRequests?.some((t) => t.audience === audience)) return;
  }
  const d = await authorizer.authorize({
    user: a.user,
    verb: 'request-serviceaccounts-token-audience',
    resourceRequest: true,
    path: '',
    namespace: a.namespace,
    apiGroup: '',
    apiVersion: 'v1',
    resource: audience,
    subresource: '',
    name: a.name,
  });
  if (d.decision === 'allow') return;
  throw deny(
    a,
    `audience ${JSON.stringify(audience)} not found in pod spec volume, ${a.user.name} is not authorized to request tokens for this audience`,
  );
}

function signingRequest(a: AdmissionAttributes, me: string): void {
  if (a.operation !== 'CREATE') return;
  // Runs before validation: the spec may be missing.
  const { signerName, request } = (a.object as Partial<Csr>).spec ?? { signerName: '', request: '' };
  if (signerName !== 'kubernetes.io/kubelet-serving' && signerName !== 'kubernetes.io/kube-apiserver-client-kubelet')
    return;
  let commonName: string;
  try {
    ({ commonName } = parseCsr(Buffer.from(request ?? '', 'base64').toString('utf8')).subject);
  } catch (error) {
    throw deny(a, `unable to parse csr: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (commonName !== `system:node:${me}`) throw deny(a, `can only create a node CSR with CN=system:node:${me}`);
}
