/**
 * A CSI driver for tests: volumes are folders of one place on the machine, staged and published by bind mounts.
 * Also a program: `node csi-driver.ts NAME STATE-DIR PLUGIN-DIR REGISTRY-DIR NODE-ID`.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { loadService } from '../../kubelet/grpc.ts';
import { serve, type Handler } from '../../kubelet/grpc-server.ts';

export interface DriverCall {
  method: string;
  request: Record<string, unknown>;
}

export interface CsiTestDriver {
  readonly calls: DriverCall[];
  /** Calls of this method answer with an error while it is set. */
  fail: { method?: string; message: string };
  volumeDir(id: string): string;
  stop(): void;
}

export interface DriverOptions {
  name: string;
  /** Where volumes lie. */
  stateDir: string;
  /** Where the driver's own socket goes. */
  pluginDir: string;
  /** ROOT/plugins_registry */
  registryDir: string;
  nodeId: string;
  nodeCapabilities?: string[];
  maxVolumes?: number;
}

const NODE_CAPABILITIES = ['STAGE_UNSTAGE_VOLUME', 'GET_VOLUME_STATS', 'EXPAND_VOLUME', 'SINGLE_NODE_MULTI_WRITER'];
const CONTROLLER_CAPABILITIES = ['CREATE_DELETE_VOLUME', 'PUBLISH_UNPUBLISH_VOLUME', 'EXPAND_VOLUME'];
const FAILED_PRECONDITION = 9;

const isMounted = (path: string): boolean =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((l) => l.split(' ')[4] === path);

function bind(from: string, to: string, readOnly = false): void {
  mkdirSync(to, { recursive: true });
  if (isMounted(to)) return;
  execFileSync('mount', ['--bind', from, to]);
  if (readOnly) execFileSync('mount', ['-o', 'remount,bind,ro', to]);
}

function unbind(path: string): void {
  if (isMounted(path)) execFileSync('umount', [path]);
  rmSync(path, { recursive: true, force: true });
}

type Fields = Record<string, string> & { capacity_range?: { required_bytes: number }; readonly?: boolean };

export async function startCsiDriver(options: DriverOptions): Promise<CsiTestDriver> {
  const { name, stateDir } = options;
  const calls: DriverCall[] = [];
  const volumeDir = (id: string) => join(stateDir, 'volumes', id);
  const sizeFile = (id: string) => join(stateDir, `${id}.size`);
  const driver: CsiTestDriver = {
    calls,
    fail: { message: '' },
    volumeDir,
    stop() {
      registration.stop();
      server.stop();
    },
  };
  const answers: Record<string, (r: Fields) => object> = {
    GetPluginInfo: () => ({ name, vendor_version: '1' }),
    GetPluginCapabilities: () => ({
      capabilities: [
        { service: { type: 'CONTROLLER_SERVICE' } },
        { service: { type: 'VOLUME_ACCESSIBILITY_CONSTRAINTS' } },
        { volume_expansion: { type: 'ONLINE' } },
      ],
    }),
    Probe: () => ({ ready: { value: true } }),
    NodeGetInfo: () => ({
      node_id: options.nodeId,
      max_volumes_per_node: options.maxVolumes ?? 7,
      accessible_topology: { segments: { [`topology.${name}/node`]: options.nodeId } },
    }),
    NodeGetCapabilities: () => ({
      capabilities: (options.nodeCapabilities ?? NODE_CAPABILITIES).map((type) => ({ rpc: { type } })),
    }),
    NodeStageVolume(r) {
      bind(volumeDir(r['volume_id']!), r['staging_target_path']!);
      return {};
    },
    NodeUnstageVolume(r) {
      unbind(r['staging_target_path']!);
      return {};
    },
    NodePublishVolume(r) {
      const ephemeral = (r['volume_context'] as unknown as Record<string, string>)['csi.storage.k8s.io/ephemeral'];
      if (ephemeral === 'true') mkdirSync(volumeDir(r['volume_id']!), { recursive: true });
      const from = r['staging_target_path'] || volumeDir(r['volume_id']!);
      if (!existsSync(from)) throw Object.assign(new Error('not staged'), { code: FAILED_PRECONDITION });
      bind(from, r['target_path']!, r.readonly);
      return {};
    },
    NodeUnpublishVolume(r) {
      unbind(r['target_path']!);
      if (r['volume_id']!.startsWith('csi-')) rmSync(volumeDir(r['volume_id']!), { recursive: true, force: true });
      return {};
    },
    NodeGetVolumeStats: () => ({
      usage: [
        { unit: 'BYTES', used: 11, available: 89, total: 100 },
        { unit: 'INODES', used: 1, available: 9, total: 10 },
      ],
    }),
    NodeExpandVolume: (r) => ({ capacity_bytes: r.capacity_range?.required_bytes ?? 0 }),
    ControllerGetCapabilities: () => ({ capabilities: CONTROLLER_CAPABILITIES.map((type) => ({ rpc: { type } })) }),
    CreateVolume(r) {
      const id = r['name']!;
      mkdirSync(volumeDir(id), { recursive: true });
      const capacity_bytes = r.capacity_range?.required_bytes ?? 1 << 20;
      writeFileSync(sizeFile(id), String(capacity_bytes));
      return { volume: { volume_id: id, capacity_bytes, volume_context: { made: 'here' } } };
    },
    DeleteVolume(r) {
      rmSync(volumeDir(r['volume_id']!), { recursive: true, force: true });
      rmSync(sizeFile(r['volume_id']!), { force: true });
      return {};
    },
    ControllerPublishVolume: (r) => ({ publish_context: { attachedTo: r['node_id']! } }),
    ControllerUnpublishVolume: () => ({}),
    ControllerExpandVolume: (r) => ({
      capacity_bytes: r.capacity_range?.required_bytes ?? 0,
      node_expansion_required: true,
    }),
    ValidateVolumeCapabilities: () => ({}),
    GetInfo: () => ({ type: 'CSIPlugin', name, endpoint: socket, supported_versions: ['1.0.0'] }),
    NotifyRegistrationStatus: () => ({}),
  };
  const handlers = (methods: string[]): Record<string, Handler> =>
    Object.fromEntries(
      methods.map((method) => [
        method,
        (request: Fields) => {
          calls.push({ method, request });
          if (driver.fail.method === method) throw new Error(driver.fail.message);
          return answers[method]!(request);
        },
      ]),
    );
  const methods = (prefix: string | RegExp) => handlers(Object.keys(answers).filter((m) => m.match(prefix)));
  const socket = join(options.pluginDir, 'csi.sock');
  mkdirSync(dirname(socket), { recursive: true });
  mkdirSync(options.registryDir, { recursive: true });
  const server = await serve(socket, [
    [loadService('csi', 'csi.v1.Identity'), methods(/^(GetPlugin|Probe)/)],
    [loadService('csi', 'csi.v1.Node'), methods(/^Node/)],
    [loadService('csi', 'csi.v1.Controller'), methods(/^(Controller|CreateV|DeleteV|Validate)/)],
  ]);
  const registration = await serve(join(options.registryDir, `${name}-reg.sock`), [
    [
      loadService('kubelet-pluginregistration-v1', 'pluginregistration.Registration'),
      methods(/^(GetInfo|NotifyRegistrationStatus)$/),
    ],
  ]);
  return driver;
}

if (import.meta.main) {
  const [name, stateDir, pluginDir, registryDir, nodeId] = process.argv.slice(2) as string[];
  const driver = await startCsiDriver({
    name: name!,
    stateDir: stateDir!,
    pluginDir: pluginDir!,
    registryDir: registryDir!,
    nodeId: nodeId!,
  });
  process.on('SIGTERM', () => {
    driver.stop();
    process.exit(0);
  });
}
