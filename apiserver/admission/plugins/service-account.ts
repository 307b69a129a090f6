/** ServiceAccount: every pod runs as an account, and gets a token for it unless it doesn't want one. */
import type { DeepReadonly, Pod, PodSpec, ServiceAccount } from '../../../api/types.ts';
import { deny, type PluginDeps, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';
import { podReferences } from '../../authorization/node-graph.ts';

const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const VOLUME_PREFIX = 'kube-api-access-';
const MIRROR = 'kubernetes.io/config.mirror';
const WAIT_MS = 150;
const WAITS = 10;

/** The account; the default one of a new namespace may take its controller a moment. */
async function accountOf(
  { reader, objects, clock }: PluginDeps,
  a: AdmissionAttributes,
  name: string,
): Promise<DeepReadonly<ServiceAccount>> {
  const cached = reader.get<ServiceAccount>('serviceaccounts', a.namespace, name);
  if (cached) return cached;
  const attempts = name === 'default' ? WAITS : 1;
  for (let i = 0; i < attempts; i++) {
    if (i > 0) await clock.sleep(WAIT_MS);
    const found = await objects.find<ServiceAccount>('serviceaccounts', a.namespace, name);
    if (found) return found;
  }
  throw deny(
    a,
    `error looking up service account ${a.namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
  );
}

function mountToken(spec: PodSpec, suffix: () => string): void {
  const existing = spec.volumes?.find((v) => v.name.startsWith(VOLUME_PREFIX));
  const name = existing?.name ?? VOLUME_PREFIX + suffix();
  let needed = false;
  for (const c of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    if (c.volumeMounts?.some((m) => m.mountPath === MOUNT_PATH)) continue;
    c.volumeMounts = [...(c.volumeMounts ?? []), { name, readOnly: true, mountPath: MOUNT_PATH }];
    needed = true;
  }
  if (existing || !needed) return;
  const volume = {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
      defaultMode: 420,
    },
  };
  spec.volumes = [...(spec.volumes ?? []), volume];
}

interface SecretUser {
  readonly name: string;
  readonly env?: readonly {
    readonly name: string;
    readonly valueFrom?: { readonly secretKeyRef?: { readonly name?: string } };
  }[];
  readonly envFrom?: readonly { readonly secretRef?: { readonly name?: string } }[];
}

/** The first secret that a container uses without its account listing it, as a sentence. */
function foreignSecret(
  containers: readonly SecretUser[],
  kind: string,
  mountable: ReadonlySet<string>,
  account: string,
): string | undefined {
  const tail = (secret: string) =>
    `referencing secret.secretName="${secret}" is not allowed because service account ${account} does not reference that secret`;
  for (const c of containers) {
    for (const e of c.env ?? []) {
      const secret = e.valueFrom?.secretKeyRef?.name;
      if (secret !== undefined && !mountable.has(secret))
        return `${kind} ${c.name} with envVar ${e.name} ${tail(secret)}`;
    }
    for (const e of c.envFrom ?? []) {
      const secret = e.secretRef?.name;
      if (secret !== undefined && !mountable.has(secret)) return `${kind} ${c.name} with envFrom ${tail(secret)}`;
    }
  }
  return undefined;
}

const enforcesMountable = (account: DeepReadonly<ServiceAccount>) =>
  ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(
    account.metadata?.annotations?.['kubernetes.io/enforce-mountable-secrets'] ?? '',
  );

function limitSecrets(
  a: AdmissionAttributes,
  spec: DeepReadonly<PodSpec>,
  account: DeepReadonly<ServiceAccount>,
): void {
  const name = account.metadata!.name!;
  const mountable = new Set((account.secrets ?? []).map((s) => s.name ?? ''));
  for (const v of spec.volumes ?? []) {
    const secret = v.secret?.secretName;
    if (v.secret && !mountable.has(secret ?? '')) {
      throw deny(
        a,
        `volume with secret.secretName="${secret}" is not allowed because service account ${name} does not reference that secret`,
      );
    }
  }
  const problem =
    foreignSecret((spec.initContainers ?? []) as readonly SecretUser[], 'init container', mountable, name) ??
    foreignSecret(spec.containers as readonly SecretUser[], 'container', mountable, name);
  if (problem !== undefined) throw deny(a, problem);
  spec.imagePullSecrets?.forEach((s, i) => {
    if (account.imagePullSecrets?.some((p) => p.name === s.name)) return;
    throw deny(
      a,
      `imagePullSecrets[${i}].name="${s.name}" is not allowed because service account ${name} does not reference that imagePullSecret`,
    );
  });
}

function validateMirror(a: AdmissionAttributes, pod: DeepReadonly<Pod>): void {
  if (pod.spec?.serviceAccountName) throw deny(a, 'a mirror pod may not reference service accounts');
  const plain = { ...pod, metadata: { ...pod.metadata, annotations: {} } } as DeepReadonly<Pod>;
  if (podReferences(plain).some((r) => r.startsWith('secrets/')))
    throw deny(a, 'a mirror pod may not reference secrets');
  if (pod.spec?.volumes?.some((v) => v.projected?.sources?.some((s) => s.serviceAccountToken))) {
    throw deny(a, 'a mirror pod may not use ServiceAccountToken volume projections');
  }
}

export const serviceAccount: PluginFactory = (deps) => {
  const concerns = (a: AdmissionAttributes) =>
    a.resource.resource === 'pods' && a.resource.group === '' && a.object !== undefined;
  return {
    name: 'ServiceAccount',
    handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
    async admit(a) {
      if (!concerns(a) || a.operation !== 'CREATE' || a.subresource !== '') return;
      const pod = a.object as Pod;
      const spec = pod.spec;
      if (!spec || pod.metadata?.annotations?.[MIRROR] !== undefined) return;
      const name = spec.serviceAccountName || 'default';
      spec.serviceAccountName = name;
      const account = await accountOf(deps, a, name);
      const wanted = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
      if (wanted) mountToken(spec, () => deps.ids.suffix(5));
      if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length) {
        spec.imagePullSecrets = account.imagePullSecrets.map((s) => ({ name: s.name }));
      }
    },
    async validate(a) {
      if (!concerns(a)) return;
      const pod = a.object as DeepReadonly<Pod>;
      if (a.operation === 'UPDATE') {
        if (a.subresource !== 'ephemeralcontainers') return;
        const account = await accountOf(deps, a, pod.spec?.serviceAccountName || 'default');
        if (!enforcesMountable(account)) return;
        const mountable = new Set((account.secrets ?? []).map((s) => s.name ?? ''));
        const problem = foreignSecret(
          (pod.spec?.ephemeralContainers ?? []) as readonly SecretUser[],
          'ephemeral container',
          mountable,
          account.metadata!.name!,
        );
        if (problem !== undefined) throw deny(a, problem);
        return;
      }
      if (a.subresource !== '') return;
      if (pod.metadata?.annotations?.[MIRROR] !== undefined) return validateMirror(a, pod);
      const name = pod.spec?.serviceAccountName;
      if (!name) throw deny(a, `no service account specified for pod ${a.namespace}/${pod.metadata?.name ?? ''}`);
      const account = await accountOf(deps, a, name);
      if (enforcesMountable(account)) limitSecrets(a, pod.spec, account);
    },
  };
};
