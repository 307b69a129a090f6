/**
 * VolumeBinding: keeps pods near their bound volumes; for claims that wait for their first consumer it chooses a volume,
 * or asks for one to be made at the chosen node, and waits until they are bound.
 * https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode
 */
import type { Clock } from '../../base/clock.ts';
import { Action, failure, type Cycle, type Failure, type Plugin, type PreFilterResult } from '../core/framework.ts';
import type { NodeInfo } from '../core/node-info.ts';
import type { PodInfo } from '../core/pod-info.ts';
import type { ApiCalls } from '../api-calls.ts';
import type { Listers } from '../listers.ts';
import { canProvision, claimSize, findVolume } from './volume-match.ts';
import { isClaimOf } from './volume-restrictions.ts';
import {
  AssumedObjects,
  belongsTo,
  claimsOf,
  classOf,
  isFullyBound,
  notFound,
  reaches,
  SELECTED_NODE,
  type Claim,
  type Volume,
} from './volumes.ts';

const NAME = 'VolumeBinding';
const WAIT_STEP_MS = 200;

export interface VolumeBindingArgs {
  /** How long to wait for volumes; defaults to 600. */
  bindTimeoutSeconds?: number;
}

/** What was chosen for the claims on one node. */
interface Choice {
  readonly bindings: { volume: Volume; claim: Claim }[];
  readonly provisions: Claim[];
}
interface Found {
  readonly bound: Claim[];
  readonly delayed: Claim[];
  readonly choices: Map<string, Choice>;
  /** What Reserve has assumed. */
  chosen?: Choice;
}

const CONFLICT_NODE = "node(s) didn't match PersistentVolume's node affinity";
const CONFLICT_BIND = "node(s) didn't find available persistent volumes to bind";
const NO_SPACE = 'node(s) did not have enough free storage';
const NO_VOLUME = 'node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)';
const refuse = (...reasons: string[]): PreFilterResult => ({
  failure: failure(NAME, 'UnschedulableAndUnresolvable', ...reasons),
});

export function volumeBinding(
  args: VolumeBindingArgs,
  deps: { listers: Listers; api: ApiCalls; clock: Clock },
): Plugin {
  const { listers, api, clock } = deps;
  const volumes = new AssumedObjects<Volume>(listers.persistentVolumes);
  const claims = new AssumedObjects<Claim>(listers.persistentVolumeClaims);

  function sortOut(pod: PodInfo): Found | PreFilterResult {
    const found: Found = { bound: [], delayed: [], choices: new Map() };
    let immediate = false;
    for (const { name, ephemeral } of claimsOf(pod)) {
      const claim = claims.get(name, pod.namespace);
      if (!claim) {
        return refuse(
          ephemeral
            ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
            : notFound('persistentvolumeclaim', name),
        );
      }
      if (claim.status?.phase === 'Lost')
        return refuse(
          `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName ?? ''}"`,
        );
      if (claim.metadata?.deletionTimestamp) return refuse(`persistentvolumeclaim "${name}" is being deleted`);
      if (ephemeral && !belongsTo(claim, pod.pod))
        return refuse(`PVC ${claim.metadata!.namespace}/${name} was not created for pod ${pod.key} (pod is not owner)`);
      if (isFullyBound(claim)) found.bound.push(claim);
      else if (!claim.spec?.volumeName && waits(claim)) found.delayed.push(claim);
      else immediate = true;
    }
    if (immediate) return refuse('pod has unbound immediate PersistentVolumeClaims');
    return found;
  }
  const waits = (claim: Claim) => {
    const name = classOf(claim);
    return name !== '' && listers.storageClasses.get(name)?.volumeBindingMode === 'WaitForFirstConsumer';
  };

  /** Looks at one node; remembers what it would take there. */
  function look(found: Found, node: NodeInfo, free: ReadonlyMap<string, Volume[]>): Failure | undefined {
    for (const claim of found.bound) {
      const volume = volumes.get(claim.spec!.volumeName!);
      if (!volume) return failure(NAME, 'UnschedulableAndUnresolvable', NO_VOLUME);
      if (!reaches(volume, node)) return failure(NAME, 'UnschedulableAndUnresolvable', CONFLICT_NODE);
    }
    const choice: Choice = { bindings: [], provisions: [] };
    const taken = new Set<string>();
    const make: Claim[] = [];
    for (const claim of found.delayed) {
      const selected = claim.metadata?.annotations?.[SELECTED_NODE];
      if (selected !== undefined) {
        if (selected !== node.name) return failure(NAME, 'UnschedulableAndUnresolvable', CONFLICT_BIND);
        make.push(claim);
        continue;
      }
      const volume = findVolume(claim, free.get(classOf(claim)) ?? [], node, taken);
      if (volume) {
        taken.add(volume.metadata!.name!);
        choice.bindings.push({ volume, claim });
      } else make.push(claim);
    }
    for (const claim of make) {
      const storageClass = listers.storageClasses.get(classOf(claim));
      const can = storageClass ? canProvision(claim, storageClass, node, listers) : 'no';
      if (can !== 'yes') return failure(NAME, 'UnschedulableAndUnresolvable', can === 'no' ? CONFLICT_BIND : NO_SPACE);
      choice.provisions.push(claim);
    }
    found.choices.set(node.name, choice);
    return undefined;
  }

  function assume(choice: Choice, nodeName: string): Choice {
    return {
      bindings: choice.bindings.map(({ volume, claim }) => {
        const { name, namespace, uid, resourceVersion } = claim.metadata!;
        const claimRef = { kind: 'PersistentVolumeClaim', apiVersion: 'v1', name, namespace, uid, resourceVersion };
        const annotations = { ...volume.metadata!.annotations };
        // A promise made by a person stays when the claim goes; ours doesn't.
        if (!volume.spec!.claimRef) annotations['pv.kubernetes.io/bound-by-controller'] = 'yes';
        const changed: Volume = {
          ...volume,
          metadata: { ...volume.metadata, annotations },
          spec: { ...volume.spec, claimRef },
        };
        volumes.assume(changed);
        return { volume: changed, claim };
      }),
      provisions: choice.provisions.map((claim) => {
        const annotations = { ...claim.metadata!.annotations, [SELECTED_NODE]: nodeName };
        const changed: Claim = { ...claim, metadata: { ...claim.metadata, annotations } };
        claims.assume(changed);
        return changed;
      }),
    };
  }
  function restore(choice: Choice): void {
    for (const b of choice.bindings) volumes.restore(b.volume);
    for (const c of choice.provisions) claims.restore(c);
  }

  /** Writes the choice and waits for the volumes. */
  async function carryOut(choice: Choice, nodeName: string, pod: PodInfo): Promise<Failure | undefined> {
    const stop = (reason: string) => failure(NAME, 'Error', `binding volumes: ${reason}`);
    const own = choice.provisions.map((c) => c.metadata!.name!);
    for (const b of choice.bindings) await api.updateVolume(b.volume);
    for (const c of choice.provisions)
      if (claims.seen(c.metadata!.name!, c.metadata!.namespace)?.metadata?.annotations?.[SELECTED_NODE] !== nodeName)
        await api.updateClaim(c);
    const names = [...own, ...choice.bindings.map((b) => b.claim.metadata!.name!)];
    const deadline = clock.monotonic() + (args.bindTimeoutSeconds ?? 600) * 1000;
    for (;;) {
      let open = 0;
      for (const name of names) {
        const claim = claims.seen(name, pod.namespace);
        if (!claim) return stop(notFound('persistentvolumeclaim', name));
        if (!isFullyBound(claim)) {
          open++;
          // The provisioner could not make it there and asks for another node.
          const took = claim.metadata?.annotations?.[SELECTED_NODE] === nodeName;
          const old = claims.get(name, pod.namespace) !== claim;
          if (own.includes(name) && !took && !old) return stop(`provisioning failed for PVC "${name}"`);
          continue;
        }
        const volume = volumes.seen(claim.spec!.volumeName!);
        if (!volume) open++;
      }
      if (open === 0) return undefined;
      if (clock.monotonic() > deadline) return stop('context deadline exceeded');
      await clock.sleep(WAIT_STEP_MS);
    }
  }

  const dataOf = (cycle: Cycle) => cycle.data.get(NAME) as Found | undefined;
  const onClaim = (pod: PodInfo, _before: unknown, after: unknown) => isClaimOf(pod, after);
  return {
    name: NAME,
    events: [
      { resource: 'StorageClass', actions: Action.Add | Action.Update },
      { resource: 'PersistentVolumeClaim', actions: Action.Add | Action.Update, hint: onClaim },
      { resource: 'PersistentVolume', actions: Action.Add | Action.Update },
      { resource: 'Node', actions: Action.Add | Action.UpdateNodeLabel | Action.UpdateNodeTaint },
      { resource: 'CSINode', actions: Action.Add | Action.Update },
      { resource: 'CSIDriver', actions: Action.Update },
      { resource: 'CSIStorageCapacity', actions: Action.Add | Action.Update },
    ],
    preFilter(pod, cycle) {
      if (pod.claims.length === 0) return undefined;
      const found = sortOut(pod);
      if (!('choices' in found)) return found;
      cycle.data.set(NAME, found);
      // Small claims first: the larger volumes are left to those that need them.
      found.delayed.sort((a, b) => claimSize(a) - claimSize(b));
      const free = new Map<string, Volume[]>();
      if (found.delayed.length > 0) {
        for (const v of volumes.list()) {
          const name = v.spec?.storageClassName ?? '';
          const list = free.get(name);
          if (list) list.push(v);
          else free.set(name, [v]);
        }
      }
      return { filter: { filter: (node) => look(found, node, free) } };
    },
    reserve(cycle, node) {
      const found = dataOf(cycle);
      const choice = found?.choices.get(node.name);
      if (choice) found!.chosen = assume(choice, node.name);
      return undefined;
    },
    unreserve(cycle) {
      const chosen = dataOf(cycle)?.chosen;
      if (chosen) restore(chosen);
    },
    preBind(cycle, nodeName) {
      const chosen = dataOf(cycle)?.chosen;
      if (!chosen || chosen.bindings.length + chosen.provisions.length === 0) return undefined;
      return carryOut(chosen, nodeName, cycle.pod);
    },
  };
}
