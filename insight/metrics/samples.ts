/** What kubelets report of their node, pods and containers, and the usage that two reports come to. Pure. */

/** One reading of a counter of CPU seconds and of memory, in milliseconds, seconds and bytes. */
export interface Reading {
  readonly at: number;
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  /** When the container was started, in milliseconds. */
  readonly startedAt?: number;
}
/** Everything that one kubelet said at once. */
export interface Report {
  readonly node: Reading | undefined;
  /** By namespace/pod, then by container. */
  readonly pods: ReadonlyMap<string, ReadonlyMap<string, Reading>>;
}
export interface Usage {
  readonly at: number;
  readonly windowMs: number;
  /** Billionths of a core. */
  readonly cpuNanos: number;
  readonly memoryBytes: number;
}

const LINE = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)(?: (\d+))?$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

/** Reads /metrics/resource; `now` stands for samples without a time. */
export function parseReport(text: string, now: number): Report {
  const partial = new Map<string, { at?: number; cpu?: number; memory?: number; startedAt?: number }>();
  const entry = (key: string) => {
    let e = partial.get(key);
    if (!e) partial.set(key, (e = {}));
    return e;
  };
  for (const line of text.split('\n')) {
    const m = LINE.exec(line);
    if (!m) continue;
    const [, name, labelText = '', value, time] = m;
    const labels = Object.fromEntries([...labelText.matchAll(LABEL)].map((l) => [l[1]!, l[2]!]));
    const key = name!.startsWith('container_') ? `${labels['namespace']}/${labels['pod']}/${labels['container']}` : '';
    const e = entry(key);
    const at = time === undefined ? now : Number(time);
    if (name === 'node_cpu_usage_seconds_total' || name === 'container_cpu_usage_seconds_total') {
      e.cpu = Number(value);
      e.at = at;
    } else if (name === 'node_memory_working_set_bytes' || name === 'container_memory_working_set_bytes')
      e.memory = Number(value);
    else if (name === 'container_start_time_seconds') e.startedAt = Number(value) * 1000;
  }
  const pods = new Map<string, Map<string, Reading>>();
  let node: Reading | undefined;
  for (const [key, e] of partial) {
    if (e.cpu === undefined || e.memory === undefined || e.at === undefined) continue;
    const reading: Reading = { at: e.at, cpuSeconds: e.cpu, memoryBytes: e.memory, startedAt: e.startedAt };
    if (key === '') node = reading;
    else {
      const slash = key.lastIndexOf('/');
      const pod = key.slice(0, slash);
      const list = pods.get(pod) ?? new Map<string, Reading>();
      pods.set(pod, list.set(key.slice(slash + 1), reading));
    }
  }
  return { node, pods };
}

/** A container that is younger says too little. */
const MIN_AGE_MS = 10_000;

/** The usage between two readings; of a container that began in between, since its beginning. */
export function usageOf(last: Reading | undefined, before: Reading | undefined): Usage | undefined {
  if (!last) return undefined;
  const same =
    before !== undefined &&
    before.at < last.at &&
    before.cpuSeconds <= last.cpuSeconds &&
    before.startedAt === last.startedAt;
  const since = same
    ? before
    : last.startedAt !== undefined && last.at - last.startedAt >= MIN_AGE_MS && (before?.at ?? 0) < last.startedAt
      ? { at: last.startedAt, cpuSeconds: 0 }
      : undefined;
  if (!since) return undefined;
  const windowMs = last.at - since.at;
  return {
    at: last.at,
    windowMs,
    cpuNanos: Math.round(((last.cpuSeconds - since.cpuSeconds) / (windowMs / 1000)) * 1e9),
    memoryBytes: last.memoryBytes,
  };
}
