/** Runs the admission plugins in Kubernetes' order: all that change objects first, then all that judge them. */
import type { CacheLookup } from '../authorization/follow.ts';
import { createObjectFinder } from '../authentication/objects.ts';
import type { Rbac } from '../authorization/rbac.ts';
import { createEscalationCheck } from '../authorization/escalation.ts';
import { DEFAULT_ON, ORDER, UNAVAILABLE, factories } from './plugins.ts';
import type { Clock } from '../../base/clock.ts';
import type { AdmissionMetrics, Step, StepTimes } from './metrics.ts';
import type { AdmissionSettings } from './plugin.ts';
import type { AdmissionAttributes, AdmissionDeps, AdmissionPlugin, Operation } from './types.ts';

/** All plugins as one. */
export interface Admission {
  handles(operation: Operation): boolean;
  admit(attributes: AdmissionAttributes): Promise<void>;
  validate(attributes: AdmissionAttributes): Promise<void>;
  /** Names of the plugins in force, in order. */
  readonly plugins: readonly string[];
}

export interface AdmissionOptions {
  deps: AdmissionDeps;
  caches: CacheLookup;
  /** Writes of roles are checked for escalation against it. */
  rbac: Rbac;
  /** --enable-admission-plugins and --disable-admission-plugins; throws an Error for unknown names. */
  enable?: readonly string[];
  disable?: readonly string[];
  settings?: AdmissionSettings;
  /** Plugins made elsewhere (webhooks, policies), put in the place that their name has. */
  extra?: readonly AdmissionPlugin[];
  metrics?: AdmissionMetrics;
}

/** The plugins in force, in order, for these flags. Throws an Error that names what is unknown or contradictory. */
export function choosePlugins(enable: readonly string[], disable: readonly string[]): string[] {
  for (const [flag, names] of [
    ['enable', enable],
    ['disable', disable],
  ] as const) {
    for (const name of names) {
      if (!ORDER.includes(name)) throw new Error(`${flag}-admission-plugins plugin "${name}" is unknown`);
      if (flag === 'enable' && UNAVAILABLE.includes(name))
        throw new Error(`enable-admission-plugins plugin "${name}" is not available in k8ts`);
    }
  }
  const both = enable.find((name) => disable.includes(name));
  if (both) throw new Error(`"${both}" in enable-admission-plugins and disable-admission-plugins overlapped`);
  return ORDER.filter((name) => !disable.includes(name) && (DEFAULT_ON.has(name) || enable.includes(name)));
}

const OPERATIONS: readonly Operation[] = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

/** The chain of the plugins that are enabled; throws for names of plugins that don't exist. */
export function createAdmission(options: AdmissionOptions): Admission {
  const deps = { ...options.deps, objects: createObjectFinder(options.caches), settings: options.settings ?? {} };
  const names = choosePlugins(options.enable ?? [], options.disable ?? []);
  const plugins: AdmissionPlugin[] = [createEscalationCheck(options.rbac, options.deps.authorizer)];
  for (const name of names) {
    const made = options.extra?.find((p) => p.name === name) ?? factories[name]?.(deps);
    if (made) plugins.push(made);
  }
  const measured = (method: Step) =>
    Object.fromEntries(
      OPERATIONS.map((op) => [op, new Pass(plugins, method, op, options.deps.clock, options.metrics)]),
    ) as Record<Operation, Pass>;
  const mutating = measured('admit');
  const validating = measured('validate');

  return {
    plugins: plugins.slice(1).map((p) => p.name),
    handles: (operation) => mutating[operation].plugins.length > 0 || validating[operation].plugins.length > 0,
    async admit(a) {
      const pass = mutating[a.operation];
      await pass.run(a);
      if (pass.plugins.some((p) => p.wantsReinvocation?.(a))) await pass.run(a);
    },
    validate: (a) => validating[a.operation].run(a),
  };
}

/** The plugins that take part in one pass for one operation, and the time they take. */
class Pass {
  readonly plugins: readonly AdmissionPlugin[];
  readonly #method: Step;
  readonly #clock: Clock;
  readonly #times: readonly (StepTimes | undefined)[];
  readonly #total: StepTimes | undefined;

  constructor(
    all: readonly AdmissionPlugin[],
    method: Step,
    operation: Operation,
    clock: Clock,
    metrics: AdmissionMetrics | undefined,
  ) {
    this.plugins = all.filter((p) => p[method] && p.handles(operation));
    this.#method = method;
    this.#clock = clock;
    this.#times = this.plugins.map((p) => metrics?.plugin(p.name, operation, method));
    this.#total = metrics?.step(operation, method);
  }

  async run(a: AdmissionAttributes): Promise<void> {
    const began = this.#clock.monotonic();
    let last = began;
    let i = 0;
    try {
      for (; i < this.plugins.length; i++) {
        const pending = this.plugins[i]![this.#method]!(a);
        if (pending) await pending;
        const now = this.#clock.monotonic();
        this.#times[i]?.passed.observe((now - last) / 1000);
        last = now;
      }
      this.#total?.passed.observe((last - began) / 1000);
    } catch (error) {
      const now = this.#clock.monotonic();
      this.#times[i]?.refused((now - last) / 1000);
      this.#total?.refused((now - began) / 1000);
      throw error;
    }
  }
}
