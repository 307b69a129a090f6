/** The configuration files a node's programs read, made from what the server told us. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findProgram } from '../../base/exec.ts';
import { CONTAINERD_SOCKET, type AgentOptions, type NodeSettings } from './options.ts';

/** Programs read JSON without the parser for YAML. */
const toJson = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

const write = (file: string, text: string, mode = 0o644) => {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text, { mode });
  chmodSync(file, mode);
};

/** The paths of what writeNodeFiles makes. */
export interface NodeFiles {
  containerdConfig: string;
  kubeletConfig: string;
  bootstrapKubeconfig: string;
  kubeconfig: string;
  ca: string;
  cniDir: string;
  certDir: string;
}

/** Where the files lie. */
export function nodeFiles(options: AgentOptions): NodeFiles {
  const at = (...p: string[]) => join(options.dataDir, ...p);
  return {
    containerdConfig: at('containerd.toml'),
    kubeletConfig: at('kubelet.yaml'),
    bootstrapKubeconfig: at('bootstrap.conf'),
    kubeconfig: at('kubelet.conf'),
    ca: at('ca.crt'),
    cniDir: at('cni'),
    certDir: at('pki'),
  };
}

/** Writes them, and says where they lie. */
export function writeNodeFiles(options: AgentOptions, ca: string, settings: NodeSettings): NodeFiles {
  const files = nodeFiles(options);
  mkdirSync(files.cniDir, { recursive: true });
  mkdirSync(files.certDir, { recursive: true, mode: 0o700 });
  write(files.ca, ca);
  write(
    files.bootstrapKubeconfig,
    toJson({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'cluster', cluster: { server: options.server, 'certificate-authority': files.ca } }],
      users: [{ name: 'bootstrap', user: { token: options.token } }],
      contexts: [{ name: 'bootstrap', context: { cluster: 'cluster', user: 'bootstrap' } }],
      'current-context': 'bootstrap',
    }),
    0o600,
  );
  if (settings.registry !== '') {
    const host = JSON.stringify(settings.registry);
    write(
      join(options.dataDir, 'certs.d', '_default', 'hosts.toml'),
      `[host.${host}]\n  capabilities = ["pull", "resolve"]\n`,
    );
  }
  write(files.containerdConfig, containerdConfig(options, settings));
  write(files.kubeletConfig, toJson(kubeletConfig(options, settings, files)));
  return files;
}

function containerdConfig(options: AgentOptions, settings: NodeSettings): string {
  const q = JSON.stringify;
  const cniBin = dirname(findProgram('host-local') ?? '/usr/lib/cni/host-local');
  return `version = 2
root = ${q(join(options.dataDir, 'containerd'))}
state = ${q(dirname(CONTAINERD_SOCKET))}
[grpc]
  address = ${q(CONTAINERD_SOCKET)}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${q(settings.sandboxImage)}
  stream_server_address = "127.0.0.1"
  # without CAP_SYS_RESOURCE (some VMs and containers) a lower score than one's own is refused and nothing starts
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = ${q(join(options.dataDir, 'certs.d'))}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${q(cniBin)}
    conf_dir = ${q(join(options.dataDir, 'cni'))}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`;
}

function kubeletConfig(options: AgentOptions, settings: NodeSettings, files: NodeFiles): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: files.ca } },
    authorization: { mode: 'Webhook' },
    cgroupDriver: 'cgroupfs',
    cgroupRoot: options.cgroupRoot === '' ? '/' : `/${options.cgroupRoot}`,
    failCgroupV1: false,
    failSwapOn: false,
    clusterDNS: [settings.clusterDns],
    clusterDomain: settings.clusterDomain,
    resolvConf: '/etc/resolv.conf',
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    rotateCertificates: true,
    maxPods: 110,
    serializeImagePulls: false,
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
      'nodefs.inodesFree': '1%',
    },
    imageGCHighThresholdPercent: 99,
    imageGCLowThresholdPercent: 98,
  };
}
