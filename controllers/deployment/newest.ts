/** The ReplicaSet of a Deployment's current template. */
import { isAlreadyExists } from '../../api/status.ts';
import type { Deployment, LabelSelector, ReplicaSet } from '../../api/types.ts';
import { replicaSets } from '../../client/resources.ts';
import { templateHash } from '../lib/hash.ts';
import { body, controllerRef, isControlledBy, meta } from '../lib/meta.ts';
import { errorText, isNamespaceTerminating } from '../lib/podcontrol.ts';
import * as rev from './revisions.ts';
import { maxSurge, newSetSize } from './rollout.ts';
import * as st from './status.ts';
import { CollisionError, KIND, note, setProgressing, setsInformer, updateSet, warn, type Turn } from './turn.ts';

/** Makes the newest set's annotations right, or makes the set itself when it is missing and `create` is set. */
export async function syncNewest(t: Turn, create: boolean): Promise<void> {
  const revision = t.old.map(rev.revisionOf).reduce((max, r) => (r > max ? r : max), 0n) + 1n;
  const { d, newest, now } = t;
  if (!newest) {
    if (create) await createNewest(t, revision);
    return;
  }
  const annotations = rev.newestAnnotations(d, newest.metadata?.annotations, revision);
  const minReadySeconds = d.spec?.minReadySeconds ?? 0;
  if (
    JSON.stringify(annotations) !== JSON.stringify(newest.metadata?.annotations ?? {}) ||
    (newest.spec?.minReadySeconds ?? 0) !== minReadySeconds
  ) {
    const wanted = body<ReplicaSet>(newest);
    await updateSet(t, {
      ...wanted,
      metadata: { ...wanted.metadata, annotations },
      spec: { ...wanted.spec!, minReadySeconds },
    });
  }
  t.revision = annotations[rev.REVISION];
  if (st.hasDeadline(d) && !st.conditionOf(t.status, 'Progressing'))
    setProgressing(
      t,
      st.newCondition('Progressing', 'True', 'FoundNewReplicaSet', `Found new replica set "${meta(newest).name}"`, now),
    );
}

async function createNewest(t: Turn, revision: bigint): Promise<void> {
  const { d, deps, spec, now } = t;
  const { name, namespace } = meta(d);
  const template = body<Deployment>(d).spec!.template;
  const hash = templateHash(template, d.status?.collisionCount);
  const labels = { ...template.metadata?.labels, [rev.HASH_LABEL]: hash };
  const selector = d.spec!.selector;
  const replicas = newSetSize(spec, t.old.map(rev.sizeOf), 0);
  const annotations = {
    ...rev.newestAnnotations(d, undefined, revision),
    [rev.DESIRED_REPLICAS]: String(spec.replicas),
    [rev.MAX_REPLICAS]: String(spec.replicas + maxSurge(spec)),
  };
  const set: ReplicaSet = {
    metadata: {
      name: `${name.slice(0, 252 - hash.length)}-${hash}`,
      namespace,
      ownerReferences: [controllerRef(d, KIND.apiVersion, KIND.kind)],
      labels,
      annotations,
    },
    spec: {
      replicas,
      minReadySeconds: d.spec?.minReadySeconds,
      selector: { ...body<LabelSelector>(selector), matchLabels: { ...selector.matchLabels, [rev.HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
  let created: ReplicaSet;
  try {
    created = await deps.client.create(replicaSets, set);
    if (replicas > 0) note(t, 'ScalingReplicaSet', `Scaled up replica set ${set.metadata!.name} from 0 to ${replicas}`);
    if (st.hasDeadline(d))
      setProgressing(
        t,
        st.newCondition(
          'Progressing',
          'True',
          'NewReplicaSetCreated',
          `Created new replica set "${set.metadata!.name}"`,
          now,
        ),
      );
  } catch (error) {
    if (isAlreadyExists(error)) {
      created = await deps.client.get(replicaSets, set.metadata!.name!, namespace);
      if (!isControlledBy(created, meta(d).uid) || !rev.sameTemplate(created.spec?.template, template)) {
        t.status = { ...t.status, collisionCount: (t.status.collisionCount ?? 0) + 1 };
        throw new CollisionError(`replica set ${set.metadata!.name} exists and has another template`);
      }
    } else {
      if (isNamespaceTerminating(error)) throw error;
      const message = `Failed to create new replica set "${set.metadata!.name}": ${errorText(error)}`;
      if (st.hasDeadline(d))
        setProgressing(t, st.newCondition('Progressing', 'False', 'ReplicaSetCreateError', message, now));
      warn(t, 'ReplicaSetCreateError', message);
      throw new CollisionError(message, { cause: error });
    }
  }
  deps.expectations.wrote(t.key, setsInformer(t), created);
  t.newest = created;
  t.revision = String(revision);
}
