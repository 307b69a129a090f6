/** DefaultStorageClass and DefaultIngressClass: objects that name no class get the one marked as the default. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json, KubeObject, PersistentVolumeClaim } from '../../../api/types.ts';
import { isOn, type PluginDeps, type PluginFactory } from '../plugin.ts';

/** Of the classes that carry one of the annotations, the newest, then the first by name. */
function defaultOf({ reader }: PluginDeps, resource: string, annotations: readonly string[]): string | undefined {
  let best: DeepReadonly<KubeObject> | undefined;
  const time = (o: DeepReadonly<KubeObject>) => o.metadata?.creationTimestamp ?? '';
  for (const c of reader.list(resource)) {
    if (!annotations.some((key) => c.metadata?.annotations?.[key] === 'true')) continue;
    if (!best || time(c) > time(best) || (time(c) === time(best) && c.metadata!.name! < best.metadata!.name!)) best = c;
  }
  return best?.metadata?.name;
}

export const defaultStorageClass: PluginFactory = (deps) => ({
  name: 'DefaultStorageClass',
  handles: (operation) => operation === 'CREATE',
  admit(a) {
    if (!isOn(a, '', 'persistentvolumeclaims')) return;
    const claim = a.object as PersistentVolumeClaim;
    // An empty name is a choice too: no class.
    if (claim.metadata?.annotations?.['volume.beta.kubernetes.io/storage-class'] !== undefined) return;
    if (!claim.spec || (claim.spec.storageClassName !== undefined && claim.spec.storageClassName !== null)) return;
    const name = defaultOf(deps, 'storage.k8s.io/storageclasses', [
      'storageclass.kubernetes.io/is-default-class',
      'storageclass.beta.kubernetes.io/is-default-class',
    ]);
    if (name !== undefined) claim.spec.storageClassName = name;
  },
});

export const defaultIngressClass: PluginFactory = (deps) => ({
  name: 'DefaultIngressClass',
  handles: (operation) => operation === 'CREATE',
  admit(a) {
    if (!isOn(a, 'networking.k8s.io', 'ingresses')) return;
    const ingress = a.object as Json<k8s.V1Ingress>;
    if (ingress.spec?.ingressClassName || ingress.metadata?.annotations?.['kubernetes.io/ingress.class'] !== undefined)
      return;
    const name = defaultOf(deps, 'networking.k8s.io/ingressclasses', ['ingressclass.kubernetes.io/is-default-class']);
    if (name !== undefined) (ingress.spec ??= {}).ingressClassName = name;
  },
});
