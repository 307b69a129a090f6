/** Rules for the containers of a pod, whatever list they are in. */
import type { Container, PodSpec } from '../../../api/types.ts';
import type { Field } from '../validation/field.ts';

/** Init, ordinary and ephemeral containers, in this order. */
export function eachContainer(spec: Field<PodSpec>, rule: (c: Field<Container>) => void): void {
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const) {
    (spec.get(list) as Field<Container[]>).each((c) => rule(c as Field<Container>));
  }
}

/** The same for a plain spec. */
export function allContainers(
  spec: Partial<Pick<PodSpec, 'containers' | 'initContainers' | 'ephemeralContainers'>>,
): Container[] {
  return [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...((spec.ephemeralContainers ?? []) as Container[]),
  ];
}
