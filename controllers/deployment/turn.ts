/** What one turn of the Deployment controller knows, and what all its steps write with. */
import type { Deployment, ReplicaSet } from '../../api/types.ts';
import type { Informer } from '../../client/informer.ts';
import { deployments, pods, replicaSets } from '../../client/resources.ts';
import type { Deps } from '../framework.ts';
import { body, meta } from '../lib/meta.ts';
import * as rev from './revisions.ts';
import type { DeploymentView, SetView } from './revisions.ts';
import { maxSurge, type RolloutSpec } from './rollout.ts';
import * as st from './status.ts';

export const KIND = { apiVersion: 'apps/v1', kind: 'Deployment' };
export const inputs = { deployments, replicaSets, pods };
export type D = Deps<typeof inputs, undefined>;

/** One turn's work on one Deployment: what was read, what was changed so far. */
export interface Turn {
  readonly deps: D;
  readonly key: string;
  readonly d: DeploymentView;
  readonly spec: RolloutSpec;
  readonly now: number;
  /** The status as this turn has changed it. */
  status: st.DeploymentStatus;
  /** The Deployment's revision annotation as it shall be. */
  revision: string | undefined;
  newest: SetView | undefined;
  old: SetView[];
}

/** An error after which the status is still to be written. */
export class CollisionError extends Error {}

/** Tells of what went wrong. */
export function warn(t: Turn, reason: string, message: string): void {
  t.deps.recorder.event(t.d, 'Warning', reason, message, KIND);
}
/** Tells of what was done. */
export function note(t: Turn, reason: string, message: string): void {
  t.deps.recorder.event(t.d, 'Normal', reason, message, KIND);
}
/** For expectations. */
export const setsInformer = (t: Turn) => t.deps.informers.replicaSets as unknown as Informer<object>;

/** Writes a changed ReplicaSet and waits for the cache to show it before the next turn. */
export async function updateSet(t: Turn, set: ReplicaSet): Promise<SetView> {
  const written = await t.deps.client.update(replicaSets, set);
  t.deps.expectations.wrote(t.key, setsInformer(t), written);
  if (t.newest && meta(t.newest).uid === meta(written).uid) t.newest = written;
  else t.old = t.old.map((s) => (meta(s).uid === meta(written).uid ? written : s));
  return written;
}

/** Sets a ReplicaSet's size and its size annotations; resolves with whether the size changed. */
export async function scale(t: Turn, set: SetView, size: number, always = false): Promise<boolean> {
  const before = rev.replicasOf(set);
  if (before === size && !always) return false;
  const desired = String(t.spec.replicas);
  const max = String(t.spec.replicas + maxSurge(t.spec));
  const annotations = set.metadata?.annotations ?? {};
  if (before === size && annotations[rev.DESIRED_REPLICAS] === desired && annotations[rev.MAX_REPLICAS] === max)
    return false;
  const wanted = body<ReplicaSet>(set);
  await updateSet(t, {
    ...wanted,
    metadata: {
      ...wanted.metadata,
      annotations: { ...annotations, [rev.DESIRED_REPLICAS]: desired, [rev.MAX_REPLICAS]: max },
    },
    spec: { ...wanted.spec!, replicas: size },
  });
  if (before === size) return false;
  note(
    t,
    'ScalingReplicaSet',
    `Scaled ${before < size ? 'up' : 'down'} replica set ${meta(set).name} from ${before} to ${size}`,
  );
  return true;
}

/** Changes the condition in the status that this turn writes. */
export function setProgressing(t: Turn, c: st.DeploymentCondition): void {
  t.status = { ...t.status, conditions: st.withCondition(t.status.conditions ?? [], c) };
}

/** Every ReplicaSet of the Deployment. */
export const all = (t: Turn): SetView[] => (t.newest ? [...t.old, t.newest] : t.old);
/** Those that shall have pods. */
export const active = (sets: readonly SetView[]) => sets.filter((s) => rev.replicasOf(s) > 0);

/** Writes status and revision when they differ from what was read. */
export async function writeStatus(t: Turn, status: st.DeploymentStatus): Promise<void> {
  const { d, deps } = t;
  const newRevision = t.revision !== undefined && t.revision !== d.metadata?.annotations?.[rev.REVISION];
  if (!newRevision && !st.statusDiffers(d.status, status)) return;
  const have = body<Deployment>(d);
  const metadata = newRevision
    ? { ...have.metadata, annotations: { ...have.metadata!.annotations, [rev.REVISION]: t.revision! } }
    : have.metadata;
  const written = await deps.client.updateStatus(deployments, { ...have, metadata, status });
  deps.expectations.wrote(t.key, deps.informers.deployments as unknown as Informer<object>, written);
}
