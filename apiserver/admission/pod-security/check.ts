/** What a Pod Security check is; see https://kubernetes.io/docs/concepts/security/pod-security-standards/ */
import type { Container, DeepReadonly, ObjectMeta, PodSpec } from '../../../api/types.ts';

export type Level = 'privileged' | 'baseline' | 'restricted';

/** A violation: what, and in detail who. */
export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

export type CheckPod = (spec: DeepReadonly<PodSpec>, meta: DeepReadonly<ObjectMeta>) => Violation | undefined;

export interface Check {
  readonly id: string;
  readonly level: 'baseline' | 'restricted';
  /** From which minor version of Kubernetes 1 on which rule holds, oldest first. */
  readonly versions: readonly {
    readonly from: number;
    readonly check: CheckPod;
    readonly overrides?: readonly string[];
  }[];
}

/** The parts that all kinds of containers have in common here. */
export type AnyContainer = DeepReadonly<
  Pick<
    Container,
    'name' | 'securityContext' | 'ports' | 'livenessProbe' | 'readinessProbe' | 'startupProbe' | 'lifecycle'
  >
>;

/** Init, ordinary and ephemeral containers, in this order. */
export function containersOf(spec: DeepReadonly<PodSpec>): AnyContainer[] {
  return [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...((spec.ephemeralContainers ?? []) as readonly AnyContainer[]),
  ];
}

export const quoted = (values: Iterable<string>) => [...values].map((v) => JSON.stringify(v)).join(', ');
export const sorted = (values: Iterable<string>) => [...new Set(values)].sort();
/** `container "a"` or `containers "a", "b"`. */
export const containers = (names: readonly string[]) =>
  `${names.length === 1 ? 'container' : 'containers'} ${quoted(names)}`;
export const plural = (one: string, many: string, n: number) => (n === 1 ? one : many);

export const isWindows = (spec: DeepReadonly<PodSpec>) => spec.os?.name === 'windows';
/** In a user namespace root inside is nobody outside. */
export const inUserNamespace = (spec: DeepReadonly<PodSpec>) => spec.hostUsers === false;

/** "pod", "pod and containers ...", "containers ...": who set something to a bad value. */
export function setters(pod: boolean, bad: readonly string[]): string {
  return [...(pod ? ['pod'] : []), ...(bad.length ? [containers(bad)] : [])].join(' and ');
}

/** A check of one field that the pod and each container may set; `isBad` sees defined values only. */
export function fieldCheck<T>(
  reason: string,
  ofPod: (spec: DeepReadonly<PodSpec>) => T | undefined,
  ofContainer: (c: AnyContainer) => T | undefined,
  isBad: (value: T) => boolean,
  say: (who: string, values: readonly T[]) => string,
): CheckPod {
  return (spec) => {
    const bad = (v: T | undefined | null): v is T => v !== undefined && v !== null && isBad(v);
    const values = new Set<T>();
    const pod = ofPod(spec);
    if (bad(pod)) values.add(pod);
    const names: string[] = [];
    for (const c of containersOf(spec)) {
      const v = ofContainer(c);
      if (!bad(v)) continue;
      values.add(v);
      names.push(c.name);
    }
    return values.size === 0 ? undefined : { reason, detail: say(setters(bad(pod), names), [...values]) };
  };
}
