/** Counters, gauges and histograms in the Prometheus text format. */
import { readdirSync, readFileSync } from 'node:fs';

type Labels = readonly string[];

/** `n` bounds of a histogram, each `factor` times the one before. */
export const exponential = (first: number, factor: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => Number((first * factor ** i).toPrecision(12)));
/** Bounds, in seconds, for work that takes milliseconds to seconds: what Prometheus' libraries take by default. */
export const DEFAULT_SECONDS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** A family of values, told apart by label values in the order of its label names. */
interface Family {
  write(lines: string[]): void;
}

const escape = (v: string) => v.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');

function labelText(names: Labels, values: readonly string[], more = ''): string {
  const parts = names.map((n, i) => `${n}="${escape(values[i] ?? '')}"`);
  if (more !== '') parts.push(more);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

/** One value of a family, kept at hand by whoever changes it often. */
export interface Handle {
  value: number;
}
/** One histogram of a family. */
export interface HistogramHandle {
  /** `weight` is how often the value is counted; defaults to 1. */
  observe(value: number, weight?: number): void;
}

/** A histogram over time: for how many nanoseconds a quantity was what it was. */
export class TimedValue {
  readonly #histogram: HistogramHandle;
  #value = 0;
  #since: number;

  /** `now` in milliseconds of any steady clock, here and below. */
  constructor(histogram: HistogramHandle, now: number) {
    this.#histogram = histogram;
    this.#since = now;
  }
  set(value: number, now: number): void {
    this.advance(now);
    this.#value = value;
  }
  /** Counts the time up to now. */
  advance(now: number): void {
    const ms = now - this.#since;
    if (ms <= 0) return;
    this.#histogram.observe(this.#value, ms * 1e6);
    this.#since = now;
  }
}

/** A value that only grows. */
export class Counter implements Family {
  readonly #name: string;
  readonly #help: string;
  readonly #labels: Labels;
  readonly #type: string;
  readonly #values = new Map<string, { labels: readonly string[]; value: number }>();

  constructor(name: string, help: string, labels: Labels, type = 'counter') {
    this.#name = name;
    this.#help = help;
    this.#labels = labels;
    this.#type = type;
  }
  /** Adds `n` (1 by default) to the value with these labels. */
  add(labels: readonly string[], n = 1): void {
    this.#at(labels).value += n;
  }
  /** The value with these labels; from now on it is shown, 0 or not. */
  handle(labels: readonly string[]): Handle {
    return this.#at(labels);
  }
  #at(labels: readonly string[]) {
    const key = labels.join('\u0000');
    let v = this.#values.get(key);
    if (!v) this.#values.set(key, (v = { labels, value: 0 }));
    return v;
  }
  /** Forgets all values, for families whose labels come and go. */
  clear(): void {
    this.#values.clear();
  }
  write(lines: string[]): void {
    lines.push(`# HELP ${this.#name} ${this.#help}`, `# TYPE ${this.#name} ${this.#type}`);
    for (const { labels, value } of this.#values.values())
      lines.push(`${this.#name}${labelText(this.#labels, labels)} ${value}`);
  }
}

/** A value that goes up and down. */
class Gauge extends Counter {
  constructor(name: string, help: string, labels: Labels) {
    super(name, help, labels, 'gauge');
  }
  set(labels: readonly string[], value: number): void {
    this.handle(labels).value = value;
  }
}

interface Distribution {
  readonly labels: readonly string[];
  readonly counts: number[];
  sum: number;
  count: number;
}

/** How often values fall below each bound. */
export class Histogram implements Family {
  readonly #name: string;
  readonly #help: string;
  readonly #labels: Labels;
  readonly #bounds: readonly number[];
  readonly #values = new Map<string, Distribution>();

  constructor(name: string, help: string, labels: Labels, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#labels = labels;
    this.#bounds = bounds;
  }
  observe(labels: readonly string[], value: number): void {
    this.#count(this.#at(labels), value);
  }
  /** The histogram with these labels; from now on it is shown, empty or not. */
  handle(labels: readonly string[]): HistogramHandle {
    const at = this.#at(labels);
    return { observe: (value, weight) => this.#count(at, value, weight) };
  }
  #at(labels: readonly string[]): Distribution {
    const key = labels.join('\u0000');
    let v = this.#values.get(key);
    if (!v) this.#values.set(key, (v = { labels, counts: this.#bounds.map(() => 0), sum: 0, count: 0 }));
    return v;
  }
  #count(v: Distribution, value: number, weight = 1): void {
    v.sum += value * weight;
    v.count += weight;
    for (let i = 0; i < this.#bounds.length; i++)
      if (value <= this.#bounds[i]!) {
        v.counts[i]! += weight;
        break;
      }
  }
  write(lines: string[]): void {
    lines.push(`# HELP ${this.#name} ${this.#help}`, `# TYPE ${this.#name} histogram`);
    for (const { labels, counts, sum, count } of this.#values.values()) {
      let below = 0;
      this.#bounds.forEach((b, i) => {
        below += counts[i]!;
        lines.push(`${this.#name}_bucket${labelText(this.#labels, labels, `le="${b}"`)} ${below}`);
      });
      lines.push(`${this.#name}_bucket${labelText(this.#labels, labels, 'le="+Inf"')} ${count}`);
      lines.push(
        `${this.#name}_sum${labelText(this.#labels, labels)} ${sum}`,
        `${this.#name}_count${labelText(this.#labels, labels)} ${count}`,
      );
    }
  }
}

/** A set of families that is shown together. */
export class MetricsRegistry {
  readonly #families: Family[] = [];
  readonly #collectors: (() => void)[] = [];

  counter(name: string, help: string, labels: Labels = []): Counter {
    return this.#add(new Counter(name, help, labels));
  }
  gauge(name: string, help: string, labels: Labels = []): Gauge {
    return this.#add(new Gauge(name, help, labels));
  }
  histogram(name: string, help: string, labels: Labels, bounds: readonly number[]): Histogram {
    return this.#add(new Histogram(name, help, labels, bounds));
  }
  /** Called before each `text`, to bring gauges up to date. */
  onCollect(fn: () => void): void {
    this.#collectors.push(fn);
  }
  text(): string {
    for (const fn of this.#collectors) fn();
    const lines: string[] = [];
    for (const f of this.#families) f.write(lines);
    return lines.join('\n') + '\n';
  }
  #add<F extends Family>(f: F): F {
    this.#families.push(f);
    return f;
  }
}

/** Memory, CPU time and open files of this process. */
export function processMetrics(registry: MetricsRegistry, startedAt: number): void {
  const cpu = registry.counter('process_cpu_seconds_total', 'User and system CPU time in seconds.').handle([]);
  const resident = registry.gauge('process_resident_memory_bytes', 'Resident memory in bytes.');
  const virtual = registry.gauge('process_virtual_memory_bytes', 'Virtual memory in bytes.');
  const files = registry.gauge('process_open_fds', 'Open files.');
  const maxFiles = registry.gauge('process_max_fds', 'Files that may be open.');
  const heap = registry.gauge('nodejs_heap_used_bytes', 'JavaScript heap in use in bytes.');
  registry.gauge('process_start_time_seconds', 'Start time since the epoch in seconds.').set([], startedAt / 1000);
  registry.onCollect(() => {
    const usage = process.cpuUsage();
    cpu.value = (usage.user + usage.system) / 1e6;
    const memory = process.memoryUsage();
    resident.set([], memory.rss);
    const self = ownProcess();
    if (self) {
      virtual.set([], self.virtualBytes);
      files.set([], self.openFiles);
      maxFiles.set([], self.maxFiles);
    }
    heap.set([], memory.heapUsed);
  });
}

/** What Linux says of this process; undefined elsewhere. */
function ownProcess(): { virtualBytes: number; openFiles: number; maxFiles: number } | undefined {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return {
      virtualBytes: Number(/^VmSize:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024,
      openFiles: readdirSync('/proc/self/fd').length,
      maxFiles: Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0),
    };
  } catch {
    return undefined;
  }
}
