/**
 * The part of the CRI (runtime.v1) that the kubelet uses, as plain messages with the names of the protocol.
 * 64-bit numbers are doubles here: times in nanoseconds lose less than a microsecond.
 */

import type { SandboxNetworks } from './networks.ts';

export type SandboxState = 'SANDBOX_READY' | 'SANDBOX_NOTREADY';
export type ContainerRunState = 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN';
export type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE' | 'TARGET';
export type MountPropagation = 'PROPAGATION_PRIVATE' | 'PROPAGATION_HOST_TO_CONTAINER' | 'PROPAGATION_BIDIRECTIONAL';
export type Labels = Record<string, string>;

export interface Int64Value {
  value: number;
}
export interface IdMapping {
  host_id: number;
  container_id: number;
  length: number;
}
export interface NamespaceOption {
  network: NamespaceMode;
  pid: NamespaceMode;
  ipc: NamespaceMode;
  target_id?: string;
  userns_options?: { mode: 'POD' | 'NODE'; uids: IdMapping[]; gids: IdMapping[] };
}
export interface SecurityProfile {
  profile_type: 'RuntimeDefault' | 'Unconfined' | 'Localhost';
  localhost_ref?: string;
}
export interface SELinuxOption {
  user?: string;
  role?: string;
  type?: string;
  level?: string;
}
export interface LinuxContainerResources {
  cpu_period?: number;
  cpu_quota?: number;
  cpu_shares?: number;
  memory_limit_in_bytes?: number;
  memory_swap_limit_in_bytes?: number;
  oom_score_adj?: number;
  cpuset_cpus?: string;
  cpuset_mems?: string;
  hugepage_limits?: { page_size: string; limit: number }[];
  unified?: Record<string, string>;
}
export interface SandboxMetadata {
  name: string;
  uid: string;
  namespace: string;
  attempt: number;
}
export interface PortMapping {
  protocol: 'TCP' | 'UDP' | 'SCTP';
  container_port: number;
  host_port: number;
  host_ip: string;
}
export interface DnsConfig {
  servers: string[];
  searches: string[];
  options: string[];
}
export interface SandboxConfig {
  metadata: SandboxMetadata;
  hostname: string;
  log_directory: string;
  dns_config?: DnsConfig;
  port_mappings: PortMapping[];
  labels: Labels;
  annotations: Labels;
  linux: {
    cgroup_parent: string;
    sysctls: Record<string, string>;
    security_context: {
      namespace_options: NamespaceOption;
      selinux_options?: SELinuxOption;
      run_as_user?: Int64Value;
      run_as_group?: Int64Value;
      supplemental_groups: number[];
      supplemental_groups_policy?: 'Merge' | 'Strict';
      privileged: boolean;
      seccomp?: SecurityProfile;
    };
    resources?: LinuxContainerResources;
  };
}
export interface Sandbox {
  id: string;
  metadata: SandboxMetadata;
  state: SandboxState;
  created_at: number;
  labels: Labels;
  annotations: Labels;
  runtime_handler: string;
}
export interface SandboxStatus extends Sandbox {
  network?: { ip: string; additional_ips: { ip: string }[] };
  linux?: { namespaces?: { options?: NamespaceOption } };
}
export interface ImageSpec {
  image: string;
  user_specified_image?: string;
  annotations?: Labels;
}
export interface Mount {
  container_path: string;
  host_path: string;
  readonly: boolean;
  selinux_relabel?: boolean;
  propagation: MountPropagation;
  recursive_read_only?: boolean;
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}
export interface ContainerSecurityContext {
  capabilities?: { add_capabilities: string[]; drop_capabilities: string[] };
  privileged: boolean;
  namespace_options: NamespaceOption;
  selinux_options?: SELinuxOption;
  run_as_user?: Int64Value;
  run_as_group?: Int64Value;
  run_as_username?: string;
  readonly_rootfs: boolean;
  supplemental_groups: number[];
  supplemental_groups_policy?: 'Merge' | 'Strict';
  no_new_privs: boolean;
  masked_paths: string[];
  readonly_paths: string[];
  seccomp?: SecurityProfile;
  apparmor?: SecurityProfile;
}
export interface ContainerConfig {
  metadata: { name: string; attempt: number };
  image: ImageSpec;
  command: string[];
  args: string[];
  working_dir: string;
  envs: { key: string; value: Buffer }[];
  mounts: Mount[];
  devices: { container_path: string; host_path: string; permissions: string }[];
  labels: Labels;
  annotations: Labels;
  log_path: string;
  stdin: boolean;
  stdin_once: boolean;
  tty: boolean;
  stop_signal?: string;
  CDI_devices?: { name: string }[];
  linux: { resources: LinuxContainerResources; security_context: ContainerSecurityContext };
}
/** What lists of containers say. */
export interface RuntimeContainer {
  id: string;
  pod_sandbox_id: string;
  metadata: { name: string; attempt: number };
  image: ImageSpec;
  image_ref: string;
  state: ContainerRunState;
  created_at: number;
  labels: Labels;
  annotations: Labels;
}
export interface ContainerRuntimeStatus {
  id: string;
  metadata: { name: string; attempt: number };
  state: ContainerRunState;
  created_at: number;
  started_at: number;
  finished_at: number;
  exit_code: number;
  image: ImageSpec;
  image_ref: string;
  image_id?: string;
  reason: string;
  message: string;
  labels: Labels;
  annotations: Labels;
  log_path: string;
  resources?: { linux?: LinuxContainerResources };
  user?: { linux?: { uid: number; gid: number; supplemental_groups: number[] } };
}
export interface Image {
  id: string;
  repo_tags: string[];
  repo_digests: string[];
  size: number;
  uid?: Int64Value;
  username: string;
  pinned: boolean;
}
export interface AuthConfig {
  username?: string;
  password?: string;
  auth?: string;
  server_address?: string;
  identity_token?: string;
  registry_token?: string;
}
interface UInt64Value {
  value: number;
}
export interface CpuUsage {
  timestamp: number;
  usage_core_nano_seconds?: UInt64Value;
  usage_nano_cores?: UInt64Value;
}
export interface MemoryUsage {
  timestamp: number;
  working_set_bytes?: UInt64Value;
  available_bytes?: UInt64Value;
  usage_bytes?: UInt64Value;
  rss_bytes?: UInt64Value;
  page_faults?: UInt64Value;
  major_page_faults?: UInt64Value;
}
export interface FilesystemUsage {
  timestamp: number;
  fs_id?: { mountpoint: string };
  used_bytes?: UInt64Value;
  inodes_used?: UInt64Value;
}
export interface ContainerStats {
  attributes: { id: string; metadata: { name: string; attempt: number }; labels: Labels; annotations: Labels };
  cpu?: CpuUsage;
  memory?: MemoryUsage;
  writable_layer?: FilesystemUsage;
}
export interface RuntimeVersion {
  runtime_name: string;
  runtime_version: string;
  runtime_api_version: string;
}
export interface RuntimeCondition {
  type: string;
  status: boolean;
  reason: string;
  message: string;
}
/** What the runtime as a whole can do. */
export interface RuntimeFeatures {
  supplemental_groups_policy?: boolean;
}
export interface RuntimeHandler {
  name: string;
  features?: { recursive_read_only_mounts?: boolean; user_namespaces?: boolean };
}

/**
 * Something happened to a container or a sandbox by itself: what the kubelet makes and starts it knows from the calls.
 * `exited` comes before the runtime's own status shows it.
 */
export interface RuntimeEvent {
  type: 'exited' | 'oom';
  /** The container's or the sandbox' id. */
  id: string;
}

/**
 * A container runtime. `cri/client.ts` speaks to containerd, `cri/hollow.ts` keeps all in memory.
 * Calls reject with the runtime's error; its gRPC code stands in `code`.
 */
export interface Runtime {
  version(): Promise<RuntimeVersion>;
  status(): Promise<{ conditions: RuntimeCondition[]; handlers: RuntimeHandler[]; features?: RuntimeFeatures }>;
  updatePodCidr(cidr: string): Promise<void>;
  runSandbox(config: SandboxConfig, handler: string): Promise<string>;
  stopSandbox(id: string): Promise<void>;
  removeSandbox(id: string): Promise<void>;
  sandboxStatus(id: string): Promise<SandboxStatus>;
  listSandboxes(podUid?: string): Promise<Sandbox[]>;
  /** Where the runtime keeps network namespaces, and how it connects them; undefined when it doesn't tell. */
  networks(): Promise<SandboxNetworks | undefined>;
  /** The path of a sandbox's own network namespace; '' when it has none, undefined when the runtime doesn't tell. */
  sandboxNamespace(id: string): Promise<string | undefined>;
  /** When the oldest runSandbox began that has not ended; milliseconds of the monotonic clock. */
  oldestStart(): number | undefined;
  /** Ends leases that an earlier process of the runtime left, and tells their ids. */
  dropStaleLeases(): Promise<string[]>;
  createContainer(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** `timeoutSeconds` between the stop signal and SIGKILL. */
  stopContainer(id: string, timeoutSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  listContainers(podUid?: string): Promise<RuntimeContainer[]>;
  containerStatus(id: string): Promise<ContainerRuntimeStatus>;
  /** Its first process, as the node counts; undefined when the runtime doesn't tell. */
  containerPid(id: string): Promise<number | undefined>;
  updateContainerResources(id: string, resources: LinuxContainerResources): Promise<void>;
  /** Writes the state of a running container to a file (CRIU). `timeoutSeconds` 0 is the runtime's own. */
  checkpoint(id: string, file: string, timeoutSeconds: number): Promise<void>;
  reopenLog(id: string): Promise<void>;
  /** `timeoutSeconds` 0 is none. Rejects with code 4 (DEADLINE_EXCEEDED) when it passes. */
  execSync(
    id: string,
    command: string[],
    timeoutSeconds: number,
  ): Promise<{ stdout: Buffer; stderr: Buffer; exit_code: number }>;
  exec(request: {
    container_id: string;
    cmd: string[];
    tty: boolean;
    stdin: boolean;
    stdout: boolean;
    stderr: boolean;
  }): Promise<string>;
  attach(request: {
    container_id: string;
    tty: boolean;
    stdin: boolean;
    stdout: boolean;
    stderr: boolean;
  }): Promise<string>;
  portForward(sandboxId: string, ports: number[]): Promise<string>;
  containerStats(): Promise<ContainerStats[]>;
  listImages(): Promise<Image[]>;
  imageStatus(image: string): Promise<Image | undefined>;
  /** Resolves with the image's reference (id). */
  pullImage(image: string, auth: AuthConfig | undefined, sandbox: SandboxConfig | undefined): Promise<string>;
  removeImage(image: string): Promise<void>;
  imageFsInfo(): Promise<FilesystemUsage[]>;
  /** A read-only view of an image under a key of our own, as what mount(8) is told. */
  viewImage(key: string, imageId: string): Promise<{ type: string; source: string; options: string[] }[]>;
  releaseImage(key: string): Promise<void>;
  /** Calls back for each event until the signal is aborted; `lost` is called when events may have been missed. */
  watchEvents(handlers: { event(event: RuntimeEvent): void; lost(): void }, signal: AbortSignal): void;
  close(): void;
}
