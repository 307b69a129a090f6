/** Runs the admission plugins in Kubernetes' order: all that change objects first, then all that judge them. */
import type { CacheLookup } from '../authorization/follow.ts';
import { createObjectFinder } from '../authentication/objects.ts';
import type { Rbac } from '../authorization/rbac.ts';
import { createEscalationCheck } from '../authorization/escalation.ts';
import { DEFAULT_ON, ORDER, UNAVAILABLE, factories } from './plugins.ts';
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

export function createAdmission(options: AdmissionOptions): Admission {
  const deps = { ...options.deps, objects: createObjectFinder(options.caches), settings: options.settings ?? {} };
  const names = choosePlugins(options.enable ?? [], options.disable ?? []);
  const plugins: AdmissionPlugin[] = [createEscalationCheck(options.rbac, options.deps.authorizer)];
  for (const name of names) {
    const made = options.extra?.find((p) => p.name === name) ?? factories[name]?.(deps);
    if (made) plugins.push(made);
  }
  const by = (method: 'admit' | 'validate') =>
    Object.fromEntries(OPERATIONS.map((op) => [op, plugins.filter((p) => p[method] && p.handles(op))])) as Record<
      Operation,
      AdmissionPlugin[]
    >;
  const mutating = by('admit');
  const validating = by('validate');

  return {
    plugins: plugins.slice(1).map((p) => p.name),
    handles: (operation) => mutating[operation].length > 0 || validating[operation].length > 0,
    async admit(a) {
      const plugins = mutating[a.operation];
      for (let pass = 0; pass < 2; pass++) {
        for (const p of plugins) {
          const pending = p.admit!(a);
          if (pending) await pending;
        }
        if (!plugins.some((p) => p.wantsReinvocation?.(a))) return;
      }
    },
    async validate(a) {
      for (const p of validating[a.operation]) {
        const pending = p.validate!(a);
        if (pending) await pending;
      }
    },
  };
}
