/** How long a new node took from the start of the machine until it was ready. */
import type { Clock } from '../../base/clock.ts';
import type { MetricsRegistry } from '../../base/metrics.ts';
import type { DeepReadonly, Node } from '../../api/types.ts';

export interface NodeStartup {
  /** The kubelet tries to create the node object. */
  registering(): void;
  /** It has created it. */
  registered(): void;
  /** The node object as the API has it. */
  seen(node: DeepReadonly<Node>): void;
}

/** `upMs` is for how long the machine has been up; undefined where that says nothing. A node that was there before is not told of. */
export function createNodeStartup(registry: MetricsRegistry, clock: Clock, upMs: number | undefined): NodeStartup {
  const family = (name: string, help: string) => registry.gauge(`kubelet_node_startup_${name}duration_seconds`, help);
  const pre = family('pre_kubelet_', 'Seconds from the start of the machine to that of the kubelet.');
  const preRegistration = family('pre_registration_', 'Seconds from the start of the kubelet to its try to register.');
  const registration = family('registration_', 'Seconds that it took to register the node.');
  const postRegistration = family('post_registration_', 'Seconds from registering the node until it was ready.');
  const all = family('', 'Seconds from the start of the machine until the node was ready.');
  const began = clock.monotonic();
  let tried: number | undefined;
  let created: number | undefined;
  let ready = false;
  return {
    registering: () => void (tried ??= clock.monotonic()),
    registered() {
      if (created !== undefined || tried === undefined) return;
      created = clock.monotonic();
      if (upMs !== undefined) pre.set([], upMs / 1000);
      preRegistration.set([], (tried - began) / 1000);
      registration.set([], (created - tried) / 1000);
    },
    seen(node) {
      if (created === undefined || ready) return;
      if (node.status?.conditions?.find((c) => c.type === 'Ready')?.status !== 'True') return;
      ready = true;
      const now = clock.monotonic();
      postRegistration.set([], (now - created) / 1000);
      if (upMs !== undefined) all.set([], (now - began + upMs) / 1000);
    },
  };
}
