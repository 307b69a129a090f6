/** What the killed controllers are to keep: workloads, changes to them, what must hold meanwhile and when they are done. */
import type { KubeObject, Pod, PodTemplateSpec } from '../../../../api/types.ts';
import type { Client } from '../../../../client/client.ts';
import {
  controllerRevisions,
  cronJobs,
  daemonSets,
  deployments,
  endpointSlices,
  jobs,
  pods,
  replicaSets,
  replicationControllers,
  services,
  statefulSets,
  type ResourceRef,
} from '../../../../client/resources.ts';
import type { History } from './history.ts';
import { appOf, between, isActive, isReady, jobPods, onePerNode, ordinals, type Rule } from './rules.ts';

/** A write by a user, what may be seen from then on until all has come to rest, and how to tell that it has. */
export interface Step {
  readonly app: string;
  apply(): Promise<KubeObject>;
  readonly check: Rule['check'];
  /** What is still missing. */
  pending(): string | undefined;
  /** Whether no pod may be made or ended once it is done. */
  readonly rests: boolean;
}

export interface World {
  readonly client: Client;
  readonly history: History;
  readonly namespace: string;
  readonly nodes: number;
}

export const KINDS: readonly ResourceRef<object>[] = [
  pods,
  replicaSets,
  replicationControllers,
  deployments,
  statefulSets,
  daemonSets,
  controllerRevisions,
  jobs,
  cronJobs,
  services,
  endpointSlices,
];

const template = (app: string, image: string, spec: Partial<PodTemplateSpec['spec']> = {}): PodTemplateSpec => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 1, ...spec, containers: [{ name: 'c', image }] },
});
const selector = (app: string) => ({ matchLabels: { app } });

/** Pods of an app as the history knows them. */
export function podsOf(w: World, app: string): Pod[] {
  return w.history.list(pods, w.namespace).filter((p) => appOf(p) === app);
}
function find<T extends KubeObject>(w: World, r: ResourceRef<T>, name: string): T | undefined {
  return w.history.list(r, w.namespace).find((o) => o.metadata?.name === name);
}
/** Whether exactly so many pods are there, all of them ready and of that image. */
function podsPending(w: World, app: string, replicas: number, image: string): string | undefined {
  const all = podsOf(w, app);
  const good = all.filter((p) => isReady(p) && p.spec?.containers[0]?.image === image).length;
  return good === replicas && all.length === replicas
    ? undefined
    : `${app}: ${good} of ${replicas}, ${all.length} in all`;
}
const statusPending = (o: KubeObject | undefined, fields: Record<string, unknown>): string | undefined => {
  const status = ((o as { status?: object } | undefined)?.status ?? {}) as Record<string, unknown>;
  if (!o) return 'it is not there';
  if (status['observedGeneration'] !== o.metadata?.generation) return `${o.metadata?.name} is behind its spec`;
  const wrong = Object.entries(fields).filter(([k, v]) => (status[k] ?? 0) !== v);
  return wrong.length ? `${o.metadata?.name} is not yet ${JSON.stringify(Object.fromEntries(wrong))}` : undefined;
};

interface Rolling {
  surge: number;
  unavailable: number;
}

/** Steps of a workload that comes to rest after each. */
const steps =
  (app: string, pending: Step['pending']) =>
  (check: Rule['check'], apply: () => Promise<KubeObject>): Step => ({ app, apply, check, pending, rests: true });

/** A Deployment (with a Service in front) that grows, shrinks and rolls. */
export function deployment(w: World, name: string, strategy: Rolling | 'Recreate') {
  let replicas = 0;
  let version = 1;
  const { client, namespace, history } = w;
  const image = () => `app:${version}`;
  const patch = (spec: object) => client.patch(deployments, name, 'merge', { spec }, { namespace });
  const slack = strategy === 'Recreate' ? { surge: 0, unavailable: Infinity } : strategy;
  const pending = () => {
    const some =
      podsPending(w, name, replicas, image()) ??
      statusPending(find(w, deployments, name), {
        replicas,
        readyReplicas: replicas,
        updatedReplicas: replicas,
        availableReplicas: replicas,
      });
    if (some) return some;
    const sets = history.list(replicaSets, namespace).filter((rs) => rs.metadata?.labels?.['app'] === name);
    const filled = sets.filter((rs) => (rs.spec?.replicas ?? 0) > 0);
    if (filled.length !== 1) return `${name} has ${filled.length} ReplicaSets with pods`;
    const slices = history
      .list(endpointSlices, namespace)
      .filter((s) => s.metadata?.labels?.['kubernetes.io/service-name'] === name);
    const told = slices.flatMap((s) =>
      (s.endpoints ?? []).filter((e) => e.conditions?.ready).flatMap((e) => e.addresses),
    );
    const real = podsOf(w, name).map((p) => p.status?.podIP);
    return told.length === real.length && real.every((ip) => told.includes(ip!))
      ? undefined
      : `${name}: its Service shows ${told.length} of ${real.length}`;
  };
  const step = steps(name, pending);
  return {
    create(n: number): Step {
      replicas = n;
      return step(between(0, n), async () => {
        await client.create(services, {
          metadata: { name, namespace },
          spec: { selector: { app: name }, ports: [{ port: 80 }] },
        });
        return client.create(deployments, {
          metadata: { name, namespace },
          spec: {
            replicas: n,
            selector: selector(name),
            strategy:
              strategy === 'Recreate'
                ? { type: 'Recreate' }
                : {
                    type: 'RollingUpdate',
                    rollingUpdate: { maxSurge: strategy.surge, maxUnavailable: strategy.unavailable },
                  },
            template: template(name, image()),
          },
        });
      });
    },
    scale(n: number): Step {
      const old = replicas;
      replicas = n;
      return step(between(Math.min(old, n), Math.max(old, n)), () => patch({ replicas: n }));
    },
    /** A new template, and perhaps another size at the same time. */
    update(n = replicas): Step {
      const old = replicas;
      replicas = n;
      version++;
      const least = Math.max(Math.min(old, n) - slack.unavailable, 0);
      const inBounds = between(least, Math.max(old, n) + slack.surge);
      const check: Rule['check'] = (all, event) => {
        if (strategy === 'Recreate' && event.type === 'ADDED' && all.some((p) => !sameImage(p, event.object)))
          return 'a new pod beside an old one';
        return inBounds(all, event);
      };
      return step(check, () => patch({ replicas: n, template: template(name, image()) }));
    },
    ref: deployments,
    name,
  };
}
const sameImage = (a: Pod, b: Pod) => a.spec?.containers[0]?.image === b.spec?.containers[0]?.image;

export function replicationController(w: World, name: string) {
  let replicas = 0;
  const { client, namespace } = w;
  const step = steps(
    name,
    () =>
      podsPending(w, name, replicas, 'app:1') ??
      statusPending(find(w, replicationControllers, name), { replicas, readyReplicas: replicas }),
  );
  return {
    create(n: number): Step {
      replicas = n;
      return step(between(0, n), () =>
        client.create(replicationControllers, {
          metadata: { name, namespace },
          spec: { replicas: n, selector: { app: name }, template: template(name, 'app:1') },
        }),
      );
    },
    scale(n: number): Step {
      const old = replicas;
      replicas = n;
      return step(between(Math.min(old, n), Math.max(old, n)), () =>
        client.patch(replicationControllers, name, 'merge', { spec: { replicas: n } }, { namespace }),
      );
    },
    ref: replicationControllers,
    name,
  };
}

export function statefulSet(w: World, name: string, ordered: boolean) {
  let replicas = 0;
  let version = 1;
  const { client, namespace } = w;
  const image = () => `app:${version}`;
  const pending = () => {
    const set = find(w, statefulSets, name);
    const s = set?.status;
    return (
      podsPending(w, name, replicas, image()) ??
      statusPending(set, { replicas, readyReplicas: replicas, currentReplicas: replicas, updatedReplicas: replicas }) ??
      (s?.currentRevision === s?.updateRevision ? undefined : `${name} still rolls`)
    );
  };
  const step = steps(name, pending);
  return {
    create(n: number): Step {
      replicas = n;
      return step(ordinals(n, ordered), () =>
        client.create(statefulSets, {
          metadata: { name, namespace },
          spec: {
            replicas: n,
            serviceName: name,
            selector: selector(name),
            podManagementPolicy: ordered ? 'OrderedReady' : 'Parallel',
            template: template(name, image()),
          },
        }),
      );
    },
    scale(n: number): Step {
      const old = replicas;
      replicas = n;
      const bounds = between(Math.min(old, n), Math.max(old, n));
      const names = ordinals(Math.max(old, n), ordered);
      return step(
        (all, event) => bounds(all, event) ?? names(all, event),
        () => client.patch(statefulSets, name, 'merge', { spec: { replicas: n } }, { namespace }),
      );
    },
    /** One pod at a time goes down. */
    update(): Step {
      version++;
      const bounds = between(replicas - 1, replicas);
      const names = ordinals(replicas, ordered);
      return step(
        (all, event) => bounds(all, event) ?? names(all, event),
        () => client.patch(statefulSets, name, 'merge', { spec: { template: template(name, image()) } }, { namespace }),
      );
    },
    ref: statefulSets,
    name,
  };
}

export function daemonSet(w: World, name: string, { surge, unavailable }: Rolling) {
  let version = 1;
  const { client, namespace, nodes } = w;
  const image = () => `app:${version}`;
  const pending = () =>
    podsPending(w, name, nodes, image()) ??
    statusPending(find(w, daemonSets, name), {
      desiredNumberScheduled: nodes,
      numberReady: nodes,
      updatedNumberScheduled: nodes,
      numberMisscheduled: 0,
    });
  return {
    create: (): Step => ({
      app: name,
      rests: true,
      pending,
      check: onePerNode(nodes, 0, nodes),
      apply: () =>
        client.create(daemonSets, {
          metadata: { name, namespace },
          spec: {
            selector: selector(name),
            template: template(name, image()),
            updateStrategy: {
              type: 'RollingUpdate',
              rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable },
            },
          },
        }),
    }),
    update(): Step {
      version++;
      return {
        app: name,
        rests: true,
        pending,
        check: onePerNode(nodes, surge, unavailable),
        apply: () =>
          client.patch(daemonSets, name, 'merge', { spec: { template: template(name, image()) } }, { namespace }),
      };
    },
    ref: daemonSets,
    name,
  };
}

const TRACKING = 'batch.kubernetes.io/job-tracking';

function jobPending(w: World, app: string, name: string, completions: number): string | undefined {
  const job = find(w, jobs, name);
  if (!job?.status?.conditions?.some((c) => c.type === 'Complete' && c.status === 'True'))
    return `${name}: ${job?.status?.succeeded ?? 0} of ${completions}`;
  const mine = podsOf(w, app);
  return mine.some((p) => p.metadata?.finalizers?.includes(TRACKING))
    ? `${name} holds pods that it counted`
    : undefined;
}

/** Whether the Job's counts and indexes are those of its pods. Asked when it is done. */
function miscounted(w: World, app: string, name: string, completions: number): string | undefined {
  const { spec, status } = find(w, jobs, name)!;
  const mine = podsOf(w, app);
  const ended = (phase: string) => mine.filter((p) => p.status?.phase === phase).length;
  const said = { succeeded: status?.succeeded, failed: status?.failed ?? 0, active: status?.active ?? 0 };
  const real = { succeeded: ended('Succeeded'), failed: ended('Failed'), active: mine.filter(isActive).length };
  if (said.succeeded !== completions || JSON.stringify(said) !== JSON.stringify(real))
    return `${name} says ${JSON.stringify(said)} and is ${JSON.stringify(real)} of ${completions}`;
  const all = completions === 1 ? '0' : `0-${completions - 1}`;
  if (spec?.completionMode === 'Indexed' && status?.completedIndexes !== all)
    return `${name} completed the indexes ${status?.completedIndexes}, not ${all}`;
  return undefined;
}

/** A Job whose first `fails` pods fail (see the image's name), plain or indexed. */
export function job(
  w: World,
  name: string,
  o: { completions: number; parallelism: number; indexed?: boolean; perIndex?: boolean; fails?: number },
) {
  const { client, namespace } = w;
  const { completions, parallelism } = o;
  return {
    run: (): Step => ({
      app: name,
      rests: false,
      check: jobPods(completions, parallelism),
      pending: () => jobPending(w, name, name, completions),
      apply: () =>
        client.create(jobs, {
          metadata: { name, namespace },
          spec: {
            completions,
            parallelism,
            ...(o.indexed ? { completionMode: 'Indexed' } : {}),
            ...(o.perIndex ? { backoffLimitPerIndex: 5 } : { backoffLimit: 20 }),
            template: template(name, `work:fail-${o.fails ?? 0}`, { restartPolicy: 'Never' }),
          },
        }),
    }),
    miscounted: () => miscounted(w, name, name, completions),
    ref: jobs,
    name,
  };
}

/** A CronJob with one run that is due: some minutes ago, and not again before tomorrow. */
export function cronJob(w: World, name: string, now: number) {
  const { client, namespace, history } = w;
  const due = new Date(now - 180_000);
  const runs = () =>
    history.list(jobs, namespace).filter((j) => j.metadata?.ownerReferences?.some((r) => r.name === name));
  return {
    run: (): Step => ({
      app: name,
      rests: false,
      check: jobPods(1, 1),
      async apply() {
        const schedule = `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`;
        await client.create(cronJobs, {
          metadata: { name, namespace },
          spec: {
            schedule,
            timeZone: 'Etc/UTC',
            concurrencyPolicy: 'Forbid',
            jobTemplate: { spec: { template: template(name, 'work:fail-0', { restartPolicy: 'Never' }) } },
          },
        });
        return client.patch(
          cronJobs,
          name,
          'merge',
          { status: { lastScheduleTime: new Date(now - 600_000).toISOString().replace(/\.\d+Z/, 'Z') } },
          { namespace, subresource: 'status' },
        );
      },
      pending() {
        const [run] = runs();
        if (!run) return `${name} has not run`;
        const cron = find(w, cronJobs, name);
        return (
          jobPending(w, name, run.metadata!.name!, 1) ??
          (cron?.status?.active?.length ? `${name} still counts its run as active` : undefined)
        );
      },
    }),
    miscounted() {
      const all = history.events(jobs).filter((e) => e.type === 'ADDED' && e.object.metadata?.namespace === namespace);
      const made = all.filter((e) => e.object.metadata?.ownerReferences?.some((r) => r.name === name)).length;
      return made === 1 ? miscounted(w, name, runs()[0]!.metadata!.name!, 1) : `${name} ran ${made} times for one time`;
    },
    ref: cronJobs,
    name,
  };
}
