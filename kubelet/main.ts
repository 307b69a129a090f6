/** The kubelet's command line. */
import os from 'node:os';
import { systemClock } from '../base/clock.ts';
import { parseFlagTable, usage, type FlagKind, type FlagTable, type FlagValue } from '../base/flags.ts';
import { staySmall, tidyWhenQuiet } from '../base/lean.ts';
import { createLogger } from '../base/log.ts';
import { completeConfiguration, loadConfiguration, type KubeletConfiguration } from './config.ts';
import { start, type KubeletOptions } from './start.ts';

/** Flags that change a field of the configuration; a flag wins over the file. */
const CONFIG_FLAGS = {
  'container-runtime-endpoint': ['containerRuntimeEndpoint', 'string'],
  'image-service-endpoint': ['imageServiceEndpoint', 'string'],
  address: ['address', 'string'],
  port: ['port', 'int'],
  'read-only-port': ['readOnlyPort', 'int'],
  'healthz-port': ['healthzPort', 'int'],
  'healthz-bind-address': ['healthzBindAddress', 'string'],
  'pod-manifest-path': ['staticPodPath', 'string'],
  'cluster-dns': ['clusterDNS', 'list'],
  'cluster-domain': ['clusterDomain', 'string'],
  'cgroup-root': ['cgroupRoot', 'string'],
  'cgroup-driver': ['cgroupDriver', 'string'],
  'max-pods': ['maxPods', 'int'],
  'resolv-conf': ['resolvConf', 'string'],
  'rotate-certificates': ['rotateCertificates', 'bool'],
  'tls-cert-file': ['tlsCertFile', 'string'],
  'tls-private-key-file': ['tlsPrivateKeyFile', 'string'],
  'seccomp-default': ['seccompDefault', 'bool'],
  'register-node': ['registerNode', 'bool'],
  'provider-id': ['providerID', 'string'],
} as const satisfies Record<string, [field: keyof KubeletConfiguration, kind: FlagKind]>;

const FLAGS = {
  /** A KubeletConfiguration (YAML or JSON). */
  config: 'string',
  /** Drop-ins: *.conf files that change the configuration, in the order of their names. */
  'config-dir': 'string',
  /** How to reach the API server; without it only static pods run. */
  kubeconfig: 'string',
  /** Used to get a client certificate when --kubeconfig does not exist. */
  'bootstrap-kubeconfig': 'string',
  'hostname-override': 'string',
  /** The node's addresses. */
  'node-ip': 'list',
  /** Pods, volumes and keys; defaults to /var/lib/kubelet. */
  'root-dir': 'string',
  /** Keys and certificates; defaults to ROOT-DIR/pki. */
  'cert-dir': 'string',
  /** KEY=VALUE separated by commas. */
  'node-labels': 'list',
  /** KEY=VALUE:EFFECT separated by commas. */
  'register-with-taints': 'list',
  /** False: the node takes no pods at first. */
  'register-schedulable': 'bool',
  /** A CredentialProviderConfig, and where the programs are that it names. */
  'image-credential-provider-config': 'string',
  'image-credential-provider-bin-dir': 'string',
  /** Makes and removes the data of k8ts.io/local-path volumes of this node. */
  'local-path-volumes': 'bool',
  /** How much is logged; from 4 on details. */
  v: 'int',
} as const satisfies FlagTable;

/** The options that a command line asks for; undefined when it asks for help. @throws Error with one sentence. */
export function optionsFromFlags(argv: readonly string[]): KubeletOptions | undefined {
  const given: [keyof KubeletConfiguration, FlagValue][] = [];
  const flag = (name: string) =>
    Object.hasOwn(CONFIG_FLAGS, name) ? CONFIG_FLAGS[name as keyof typeof CONFIG_FLAGS] : undefined;
  const { values: o, help } = parseFlagTable(argv, {
    flags: FLAGS,
    others: { kind: (name) => flag(name)?.[1], take: (name, value) => void given.push([flag(name)![0], value]) },
  });
  if (help) return undefined;
  const config = o.config || o['config-dir'] ? loadConfiguration(o.config, o['config-dir']) : completeConfiguration({});
  for (const [field, value] of given) (config as Record<string, unknown>)[field] = value;
  if (o['register-with-taints']?.length)
    config.registerWithTaints = o['register-with-taints'].map((t) => {
      const m = /^([^=:]+)(?:=([^:]*))?:(\w+)$/.exec(t);
      if (!m) throw new Error(`--register-with-taints: ${JSON.stringify(t)} is not KEY=VALUE:EFFECT`);
      return { key: m[1]!, value: m[2] ?? '', effect: m[3]! };
    });
  const configFile = o['image-credential-provider-config'];
  const binDir = o['image-credential-provider-bin-dir'];
  const pairs = (o['node-labels'] ?? []).map((p) => [p.slice(0, p.indexOf('=')), p.slice(p.indexOf('=') + 1)]);
  return {
    config,
    nodeName: (o['hostname-override'] ?? os.hostname()).toLowerCase(),
    nodeIPs: o['node-ip'] ?? [],
    kubeconfig: o.kubeconfig,
    bootstrapKubeconfig: o['bootstrap-kubeconfig'],
    credentialProviders: configFile && binDir ? { configFile, binDir } : undefined,
    localPathVolumes: o['local-path-volumes'] ?? false,
    rootDir: o['root-dir'] ?? '/var/lib/kubelet',
    certDir: o['cert-dir'],
    nodeLabels: Object.fromEntries(pairs) as Record<string, string>,
    registerSchedulable: o['register-schedulable'] ?? true,
    logger: createLogger({
      clock: systemClock,
      component: 'kubelet',
      level: (o.v ?? 2) >= 4 ? 'debug' : 'info',
    }),
  };
}

/** Resolves when the kubelet runs; SIGTERM and SIGINT end it and the process. Rejects when it can't start. */
export async function main(argv: readonly string[]): Promise<void> {
  staySmall();
  const options = optionsFromFlags(argv);
  if (!options) {
    const own = Object.fromEntries(Object.entries(CONFIG_FLAGS).map(([name, [, kind]]) => [name, kind]));
    process.stdout.write(usage({ ...FLAGS, ...own }));
    return;
  }
  const kubelet = await start(options);
  tidyWhenQuiet(systemClock);
  const stop = () => {
    options.logger?.info('stopping');
    kubelet.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

if (import.meta.main)
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`kubelet: ${(error as Error).message}\n`);
    process.exit(1);
  });
