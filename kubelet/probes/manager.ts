/** Runs the probes of running containers and keeps their results. */
import type { Clock, Rand, Timer } from '../../base/clock.ts';
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import type { Runtime } from '../cri/types.ts';
import { isSidecar } from '../pods/resources.ts';
import { isRunning, type PodRuntimeState, type RuntimeContainerState } from '../pods/state.ts';
import { check, type CheckResult, type ProbeSpec } from './check.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

export interface ProbeManager {
  /** Starts probes of containers that run and ends those of containers that don't. */
  sync(pod: DeepReadonly<Pod>, state: PodRuntimeState, podIP: string): void;
  /** Only readiness goes on while a pod ends. */
  terminating(uid: string): void;
  remove(uid: string): void;
  started(pod: DeepReadonly<Pod>, c: RuntimeContainerState): boolean;
  ready(pod: DeepReadonly<Pod>, c: RuntimeContainerState): boolean;
  /** Containers that liveness or startup probes gave up. */
  unhealthy(uid: string): ReadonlyMap<string, 'liveness' | 'startup'>;
  /** After a restart of the kubelet: containers that were ready or started stay so until probed again. */
  assume(containerId: string, was: { ready: boolean; started: boolean }): void;
  /** How often the probes of the containers that run have ended how. */
  outcomes(): Iterable<ProbeOutcomes>;
}

/** The ends of one container's probes of one kind so far. */
export interface ProbeOutcomes {
  pod: DeepReadonly<Pod>;
  container: string;
  kind: ProbeKind;
  counts: Readonly<Record<CheckResult['result'], number>>;
}

interface Worker {
  kind: ProbeKind;
  containerId: string;
  spec: ProbeSpec;
  timer: Timer | undefined;
  running: boolean;
  stopped: boolean;
  last: 'success' | 'failure' | undefined;
  streak: number;
  readonly counts: Record<CheckResult['result'], number>;
}

export interface ProbeOptions {
  runtime: Runtime;
  clock: Clock;
  rand: Rand;
  /** A result changed: the pod's status or plan may differ now. */
  changed(uid: string): void;
  /** A probe failed (Unhealthy event). */
  failed(pod: DeepReadonly<Pod>, container: string, kind: ProbeKind, r: CheckResult): void;
}

/** The shortest pause between two looks at the readiness of a container that has just begun, in ms. */
const FIRST_PAUSE_MS = 1000;

const probeOf = (c: DeepReadonly<Container>, kind: ProbeKind): ProbeSpec | undefined =>
  kind === 'startup' ? c.startupProbe : kind === 'liveness' ? c.livenessProbe : c.readinessProbe;

/** Containers that may have probes: the app's and sidecars. */
const probed = (pod: DeepReadonly<Pod>): DeepReadonly<Container>[] => [
  ...(pod.spec!.initContainers ?? []).filter(isSidecar),
  ...pod.spec!.containers,
];

export function createProbeManager(options: ProbeOptions): ProbeManager {
  const { clock, runtime } = options;
  const workers = new Map<string, Map<string, Worker>>(); // uid -> "container/kind"
  const results: Record<ProbeKind, Map<string, boolean>> = {
    startup: new Map(),
    liveness: new Map(),
    readiness: new Map(),
  };
  const assumed = new Map<string, { ready: boolean; started: boolean }>();
  const ending = new Set<string>();
  const pods = new Map<string, { pod: DeepReadonly<Pod>; podIP: string }>();

  function begin(
    uid: string,
    c: DeepReadonly<Container>,
    kind: ProbeKind,
    spec: ProbeSpec,
    run: RuntimeContainerState,
  ): Worker {
    const w: Worker = {
      kind,
      containerId: run.id,
      spec,
      timer: undefined,
      running: false,
      stopped: false,
      last: undefined,
      streak: 0,
      counts: { success: 0, failure: 0, unknown: 0 },
    };
    const period = (spec.periodSeconds ?? 10) * 1000;
    const first = run.started_at / 1e6 + (spec.initialDelaySeconds ?? 0) * 1000 - clock.now();
    // What has just begun may need a moment until it serves: it is asked again sooner, the sooner the younger it is.
    const pause = () =>
      kind === 'readiness' && results.readiness.get(run.id) !== true
        ? Math.min(period, Math.max(FIRST_PAUSE_MS, clock.now() - run.started_at / 1e6))
        : period;
    const schedule = (ms: number) => {
      if (w.stopped) return;
      w.timer = clock.after(Math.max(ms, 0), () => void tick(), { background: true });
    };
    const tick = async () => {
      if (w.stopped || w.running) return;
      const info = pods.get(uid);
      if (!info) return;
      // readiness and liveness wait for startup; a change of startup wakes them
      if (kind !== 'startup' && c.startupProbe && results.startup.get(run.id) !== true)
        return schedule(Math.min(period, 1000));
      w.running = true;
      const began = clock.monotonic();
      let r = await check(spec, { containerId: run.id, podIP: info.podIP, container: c, runtime }, clock);
      // a connection may fail by chance: upstream, too, asks up to three times when the check itself broke
      for (let i = 0; i < 2 && r.result === 'unknown' && !w.stopped; i++)
        r = await check(spec, { containerId: run.id, podIP: info.podIP, container: c, runtime }, clock);
      w.running = false;
      if (w.stopped) return;
      settle(uid, info.pod, c, w, r);
      schedule(pause() - (clock.monotonic() - began));
    };
    nudges.set(w, () => {
      if (w.stopped || w.running || clock.now() < run.started_at / 1e6 + (spec.initialDelaySeconds ?? 0) * 1000) return;
      w.timer?.cancel();
      schedule(0);
    });
    // spread the first checks after a restart of the kubelet
    schedule(
      first > 0
        ? first
        : clock.now() - run.started_at / 1e6 > period
          ? options.rand.next() * Math.min(period, 5000)
          : 0,
    );
    return w;
  }

  function settle(uid: string, pod: DeepReadonly<Pod>, c: DeepReadonly<Container>, w: Worker, r: CheckResult): void {
    w.counts[r.result]++;
    if (r.result === 'unknown') {
      options.failed(pod, c.name, w.kind, r);
      return;
    }
    if (r.result === 'failure') options.failed(pod, c.name, w.kind, r);
    if (r.result === w.last) w.streak++;
    else {
      w.last = r.result;
      w.streak = 1;
    }
    const need = r.result === 'success' ? (w.spec.successThreshold ?? 1) : (w.spec.failureThreshold ?? 3);
    if (w.streak < need) return;
    const ok = r.result === 'success';
    const map = results[w.kind];
    const before = map.get(w.containerId);
    map.set(w.containerId, ok);
    if ((w.kind === 'startup' && ok) || (w.kind !== 'readiness' && !ok)) stop(w); // done, or the container is about to go
    if (before !== ok) options.changed(uid);
    if (w.kind === 'startup' && ok)
      for (const o of workers.get(uid)?.values() ?? [])
        if (o.containerId === w.containerId && o.kind !== 'startup') nudge(o);
  }
  const nudges = new WeakMap<Worker, () => void>();
  const nudge = (w: Worker) => nudges.get(w)?.();

  function stop(w: Worker): void {
    w.stopped = true;
    w.timer?.cancel();
  }

  function sync(pod: DeepReadonly<Pod>, state: PodRuntimeState, podIP: string): void {
    const uid = pod.metadata!.uid!;
    pods.set(uid, { pod, podIP });
    let own = workers.get(uid);
    if (!own) workers.set(uid, (own = new Map()));
    const seen = new Set<string>();
    for (const c of probed(pod)) {
      const run = state.containers.find((x) => x.name === c.name);
      for (const kind of ['startup', 'liveness', 'readiness'] as const) {
        const spec = probeOf(c, kind);
        if (!spec || !run || !isRunning(run)) continue;
        if (ending.has(uid) && kind !== 'readiness') continue;
        const key = `${c.name}/${kind}`;
        seen.add(key);
        const have = own.get(key);
        if (have?.containerId === run.id) continue;
        if (have) stop(have);
        const was = assumed.get(run.id);
        if (kind === 'startup' && was?.started) {
          results.startup.set(run.id, true);
          continue;
        }
        if (kind === 'readiness' && was?.ready && !results.readiness.has(run.id)) results.readiness.set(run.id, true);
        own.set(key, begin(uid, c, kind, spec, run));
      }
    }
    for (const [key, w] of own)
      if (!seen.has(key)) {
        stop(w);
        own.delete(key);
      }
    const ids = new Set(state.containers.map((c) => c.id));
    for (const [id] of known.get(uid) ?? [])
      if (!ids.has(id)) for (const k of ['startup', 'liveness', 'readiness'] as const) results[k].delete(id);
    known.set(uid, new Map([...ids].map((id) => [id, true])));
  }
  const known = new Map<string, Map<string, boolean>>();

  const specOf = (pod: DeepReadonly<Pod>, c: RuntimeContainerState) => probed(pod).find((x) => x.name === c.name);

  return {
    sync,
    terminating(uid) {
      ending.add(uid);
      for (const w of workers.get(uid)?.values() ?? []) if (w.kind !== 'readiness') stop(w);
    },
    remove(uid) {
      for (const w of workers.get(uid)?.values() ?? []) stop(w);
      for (const [id] of known.get(uid) ?? []) {
        for (const k of ['startup', 'liveness', 'readiness'] as const) results[k].delete(id);
        assumed.delete(id);
      }
      workers.delete(uid);
      known.delete(uid);
      pods.delete(uid);
      ending.delete(uid);
    },
    started(pod, c) {
      if (!specOf(pod, c)?.startupProbe) return true;
      return results.startup.get(c.id) ?? assumed.get(c.id)?.started ?? false;
    },
    ready(pod, c) {
      if (!specOf(pod, c)?.readinessProbe) return true;
      return results.readiness.get(c.id) ?? assumed.get(c.id)?.ready ?? false;
    },
    unhealthy(uid) {
      const out = new Map<string, 'liveness' | 'startup'>();
      for (const [id] of known.get(uid) ?? []) {
        if (results.liveness.get(id) === false) out.set(id, 'liveness');
        if (results.startup.get(id) === false) out.set(id, 'startup');
      }
      return out;
    },
    assume: (id, was) => void assumed.set(id, was),
    *outcomes() {
      for (const [uid, own] of workers)
        for (const [key, { kind, counts }] of own) {
          const pod = pods.get(uid)?.pod;
          if (pod) yield { pod, container: key.slice(0, key.lastIndexOf('/')), kind, counts };
        }
    },
  };
}
