/** A runtime whose calls are counted and timed. */
import type { Clock } from '../../base/clock.ts';
import type { Runtime } from '../cri/types.ts';
import type { KubeletMetrics } from './families.ts';

/** The calls that are counted, with the names they are counted under. */
const OPERATIONS = {
  version: 'version',
  status: 'status',
  networks: 'status',
  updatePodCidr: 'update_runtime_config',
  runSandbox: 'run_podsandbox',
  stopSandbox: 'stop_podsandbox',
  removeSandbox: 'remove_podsandbox',
  sandboxStatus: 'podsandbox_status',
  sandboxNamespace: 'podsandbox_status',
  listSandboxes: 'list_podsandbox',
  createContainer: 'create_container',
  startContainer: 'start_container',
  stopContainer: 'stop_container',
  removeContainer: 'remove_container',
  listContainers: 'list_containers',
  containerStatus: 'container_status',
  containerPid: 'container_status',
  updateContainerResources: 'update_container',
  checkpoint: 'checkpoint_container',
  reopenLog: 'reopen_container_log',
  execSync: 'exec_sync',
  exec: 'exec',
  attach: 'attach',
  portForward: 'port_forward',
  containerStats: 'list_container_stats',
  listImages: 'list_images',
  imageStatus: 'image_status',
  pullImage: 'pull_image',
  removeImage: 'remove_image',
  imageFsInfo: 'image_fs_info',
} as const satisfies Partial<Record<keyof Runtime, string>>;

type Call = (...args: unknown[]) => Promise<unknown>;

/** The same runtime; what its calls do and how they fail stays. */
export function measureRuntime(runtime: Runtime, metrics: KubeletMetrics, clock: Clock): Runtime {
  const measured: Record<string, Call> = {};
  for (const [method, kind] of Object.entries(OPERATIONS)) {
    const call = runtime[method as keyof typeof OPERATIONS] as Call;
    measured[method] = async (...args) => {
      const began = clock.monotonic();
      let failed = true;
      try {
        const answer = await call(...args);
        failed = false;
        return answer;
      } finally {
        metrics.operation(kind, began, failed);
      }
    };
  }
  return { ...runtime, ...measured };
}
