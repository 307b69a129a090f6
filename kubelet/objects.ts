/** ConfigMaps and Secrets that pods of this node refer to: each is watched by its name while a pod needs it. */
import type { Clock, Rand } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { ConfigMap, DeepReadonly, Pod, Secret } from '../api/types.ts';
import type { Client } from '../client/client.ts';
import { createInformer, type Informer } from '../client/informer.ts';
import { configMaps, secrets, type ResourceRef } from '../client/resources.ts';

export interface ObjectCache {
  configMap(namespace: string, name: string): Promise<DeepReadonly<ConfigMap> | undefined>;
  secret(namespace: string, name: string): Promise<DeepReadonly<Secret> | undefined>;
  /** Watches what the pod names; replaces what it named before. */
  track(pod: DeepReadonly<Pod>): void;
  untrack(uid: string): void;
  stop(): void;
}

type Kind = 'configmap' | 'secret';
interface Entry {
  informer: Informer<object>;
  users: Set<string>;
}

/** `kind/namespace/name` of each ConfigMap and Secret in a pod's spec. */
function referencedObjects(pod: DeepReadonly<Pod>): Set<string> {
  const out = new Set<string>();
  const ns = pod.metadata!.namespace!;
  const add = (kind: Kind, name: string | undefined) => {
    if (name) out.add(`${kind}/${ns}/${name}`);
  };
  const spec = pod.spec!;
  for (const s of spec.imagePullSecrets ?? []) add('secret', s.name);
  for (const c of [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])]) {
    for (const f of c.envFrom ?? []) {
      add('configmap', f.configMapRef?.name);
      add('secret', f.secretRef?.name);
    }
    for (const e of c.env ?? []) {
      add('configmap', e.valueFrom?.configMapKeyRef?.name);
      add('secret', e.valueFrom?.secretKeyRef?.name);
    }
  }
  for (const v of spec.volumes ?? []) {
    add('configmap', v.configMap?.name);
    add('secret', v.secret?.secretName);
    for (const s of v.projected?.sources ?? []) {
      add('configmap', s.configMap?.name);
      add('secret', s.secret?.name);
    }
  }
  return out;
}

/** `changed` is called with the UIDs of the pods that use an object that changed. */
export function createObjectCache(options: {
  client: Client;
  clock: Clock;
  rand: Rand;
  logger: Logger;
  changed(uids: Iterable<string>): void;
  /** How long a first answer is waited for; defaults to 10,000 ms. */
  patienceMs?: number;
}): ObjectCache {
  const { clock } = options;
  const entries = new Map<string, Entry>();
  const named = new Map<string, Set<string>>();

  function ensure(key: string, user: string | undefined): Entry {
    let e = entries.get(key);
    if (!e) {
      const [kind, namespace, name] = key.split('/') as [Kind, string, string];
      const resource = (kind === 'configmap' ? configMaps : secrets) as ResourceRef<object>;
      const informer = createInformer(resource, { ...options, namespace, fieldSelector: `metadata.name=${name}` });
      e = { informer, users: new Set() };
      entries.set(key, e);
      const made = e;
      const tell = () => {
        if (informer.hasSynced) options.changed([...made.users]);
      };
      informer.on({ added: tell, updated: tell, deleted: tell });
      informer.start();
    }
    if (user) e.users.add(user);
    return e;
  }

  async function get(kind: Kind, namespace: string, name: string): Promise<object | undefined> {
    const key = `${kind}/${namespace}/${name}`;
    const e = ensure(key, undefined);
    if (!e.informer.hasSynced) {
      const late = new AbortController();
      const timer = clock.after(
        options.patienceMs ?? 10_000,
        () => late.abort(new Error(`failed to sync ${kind} cache: timed out waiting for the condition`)),
        { background: true },
      );
      try {
        await e.informer.synced(late.signal);
      } finally {
        timer.cancel();
      }
    }
    const found = e.informer.get(name, namespace);
    // nobody holds it: no watch is kept for a single question
    if (e.users.size === 0 && entries.get(key) === e) {
      e.informer.stop();
      entries.delete(key);
    }
    return found;
  }

  function release(key: string, uid: string): void {
    const e = entries.get(key);
    if (!e) return;
    e.users.delete(uid);
    if (e.users.size === 0) {
      e.informer.stop();
      entries.delete(key);
    }
  }

  return {
    configMap: (namespace, name) => get('configmap', namespace, name) as Promise<DeepReadonly<ConfigMap> | undefined>,
    secret: (namespace, name) => get('secret', namespace, name) as Promise<DeepReadonly<Secret> | undefined>,
    track(pod) {
      const uid = pod.metadata!.uid!;
      const want = referencedObjects(pod);
      const have = named.get(uid);
      for (const key of want) ensure(key, uid);
      for (const key of have ?? []) if (!want.has(key)) release(key, uid);
      named.set(uid, want);
    },
    untrack(uid) {
      for (const key of named.get(uid) ?? []) release(key, uid);
      named.delete(uid);
    },
    stop() {
      for (const e of entries.values()) e.informer.stop();
      entries.clear();
    },
  };
}
