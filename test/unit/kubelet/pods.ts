/** Small builders for the kubelet's tests. */
import type { Container, DeepReadonly, Pod } from '../../../api/types.ts';
import { CONTAINER_HASH, containerHash } from '../../../kubelet/pods/identity.ts';
import type { PodRuntimeState, RuntimeContainerState } from '../../../kubelet/pods/state.ts';
import type { SandboxStatus } from '../../../kubelet/cri/types.ts';

export function pod(spec: Partial<NonNullable<Pod['spec']>> = {}, meta: Pod['metadata'] = {}): Pod {
  return {
    metadata: { name: 'p', namespace: 'ns', uid: 'uid-1', ...meta },
    spec: { containers: [{ name: 'c', image: 'busybox:1' }], restartPolicy: 'Always', ...spec },
  };
}

export function sandbox(over: Partial<SandboxStatus> = {}): SandboxStatus {
  return {
    id: 's1',
    metadata: { name: 'p', namespace: 'ns', uid: 'uid-1', attempt: 0 },
    state: 'SANDBOX_READY',
    created_at: 1,
    labels: {},
    annotations: {},
    runtime_handler: '',
    network: { ip: '10.0.0.5', additional_ips: [] },
    ...over,
  };
}

/** A container that runs; `exit` makes it an ended one. */
export function ran(
  spec: DeepReadonly<Container>,
  over: Partial<RuntimeContainerState> & { exit?: number } = {},
): RuntimeContainerState {
  const { exit, ...more } = over;
  return {
    id: `${spec.name}-id`,
    name: spec.name,
    sandboxId: 's1',
    restartCount: 0,
    metadata: { name: spec.name, attempt: 0 },
    state: exit === undefined ? 'CONTAINER_RUNNING' : 'CONTAINER_EXITED',
    created_at: 1e15,
    started_at: 1e15,
    finished_at: exit === undefined ? 0 : 2e15,
    exit_code: exit ?? 0,
    image: { image: spec.image ?? '' },
    image_ref: 'sha256:1',
    reason: exit === undefined ? '' : exit === 0 ? 'Completed' : 'Error',
    message: '',
    labels: {},
    annotations: { [CONTAINER_HASH]: containerHash(spec) },
    log_path: '',
    ...more,
  };
}

export function state(
  containers: RuntimeContainerState[] = [],
  sandboxes: SandboxStatus[] = [sandbox()],
): PodRuntimeState {
  const ready = sandboxes.find((s) => s.state === 'SANDBOX_READY');
  return { uid: 'uid-1', sandboxes, containers, ips: ready?.network?.ip ? [ready.network.ip] : [] };
}
