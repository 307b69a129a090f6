/** The kubelet's command line. */
import os from 'node:os';
import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { staySmall } from '../base/lean.ts';
import { createLogger } from '../base/log.ts';
import { completeConfiguration, loadConfiguration, type KubeletConfiguration } from './config.ts';
import { start } from './start.ts';

const list = (text: string): string[] => text.split(',').filter((s) => s !== '');
const pairs = (text: string): Record<string, string> =>
  Object.fromEntries(list(text).map((p) => [p.slice(0, p.indexOf('=')), p.slice(p.indexOf('=') + 1)]));
const bool = (text: string | boolean): boolean => text === true || text === 'true';

/** Flags that change a field of the configuration; a flag wins over the file. */
const CONFIG_FLAGS: Record<string, [field: keyof KubeletConfiguration, read: (text: string) => unknown]> = {
  'container-runtime-endpoint': ['containerRuntimeEndpoint', String],
  'image-service-endpoint': ['imageServiceEndpoint', String],
  address: ['address', String],
  port: ['port', Number],
  'read-only-port': ['readOnlyPort', Number],
  'healthz-port': ['healthzPort', Number],
  'healthz-bind-address': ['healthzBindAddress', String],
  'pod-manifest-path': ['staticPodPath', String],
  'cluster-dns': ['clusterDNS', list],
  'cluster-domain': ['clusterDomain', String],
  'cgroup-root': ['cgroupRoot', String],
  'cgroup-driver': ['cgroupDriver', String],
  'max-pods': ['maxPods', Number],
  'resolv-conf': ['resolvConf', String],
  'rotate-certificates': ['rotateCertificates', bool],
  'tls-cert-file': ['tlsCertFile', String],
  'tls-private-key-file': ['tlsPrivateKeyFile', String],
  'seccomp-default': ['seccompDefault', bool],
  'register-node': ['registerNode', bool],
  'provider-id': ['providerID', String],
};

export async function main(argv: readonly string[]): Promise<void> {
  staySmall();
  const program = new Command('kubelet')
    .description('Runs the pods of one node.')
    .option('--config <file>', 'a KubeletConfiguration (YAML or JSON)')
    .option('--config-dir <dir>', 'drop-ins: *.conf files that change the configuration, in the order of their names')
    .option('--kubeconfig <file>', 'how to reach the API server; without it only static pods run')
    .option('--bootstrap-kubeconfig <file>', 'used to get a client certificate when --kubeconfig does not exist')
    .option('--hostname-override <name>', "the node's name")
    .option('--node-ip <ips>', "the node's addresses, separated by commas")
    .option('--root-dir <dir>', 'pods, volumes and keys', '/var/lib/kubelet')
    .option('--cert-dir <dir>', 'keys and certificates (default: ROOT-DIR/pki)')
    .option('--node-labels <pairs>', 'labels of the node, KEY=VALUE separated by commas')
    .option('--register-with-taints <taints>', 'KEY=VALUE:EFFECT separated by commas')
    .option('--register-schedulable [bool]', 'false: the node takes no pods at first', 'true')
    .option('--image-credential-provider-config <file>', 'a CredentialProviderConfig')
    .option('--image-credential-provider-bin-dir <dir>', 'the programs that it names')
    .option('--local-path-volumes', 'makes and removes the data of k8ts.io/local-path volumes of this node')
    .option('-v, --v <level>', 'how much is logged; from 4 on details', '2');
  for (const flag of Object.keys(CONFIG_FLAGS))
    program.option(`--${flag} [value]`, `field ${CONFIG_FLAGS[flag]![0]} of the configuration`);
  program.parse(argv as string[], { from: 'user' });
  const o = program.opts<Record<string, string | undefined>>();

  const config =
    o['config'] || o['configDir'] ? loadConfiguration(o['config'], o['configDir']) : completeConfiguration({});
  const camel = (flag: string) => flag.replace(/-(.)/g, (_, c: string) => c.toUpperCase());
  for (const [flag, [field, read]] of Object.entries(CONFIG_FLAGS)) {
    const value = o[camel(flag)];
    if (value !== undefined) (config as Record<string, unknown>)[field] = read(value);
  }
  if (o['registerWithTaints'])
    config.registerWithTaints = list(o['registerWithTaints']).map((t) => {
      const m = /^([^=:]+)(?:=([^:]*))?:(\w+)$/.exec(t);
      if (!m) throw new Error(`--register-with-taints: ${JSON.stringify(t)} is not KEY=VALUE:EFFECT`);
      return { key: m[1]!, value: m[2] ?? '', effect: m[3]! };
    });
  const logger = createLogger({
    clock: systemClock,
    component: 'kubelet',
    level: Number(o['v']) >= 4 ? 'debug' : 'info',
  });
  const kubelet = await start({
    config,
    nodeName: (o['hostnameOverride'] ?? os.hostname()).toLowerCase(),
    nodeIPs: list(o['nodeIp'] ?? ''),
    kubeconfig: o['kubeconfig'],
    bootstrapKubeconfig: o['bootstrapKubeconfig'],
    credentialProviders:
      o['imageCredentialProviderConfig'] && o['imageCredentialProviderBinDir']
        ? { configFile: o['imageCredentialProviderConfig'], binDir: o['imageCredentialProviderBinDir'] }
        : undefined,
    localPathVolumes: o['localPathVolumes'] !== undefined,
    rootDir: o['rootDir'],
    certDir: o['certDir'],
    nodeLabels: pairs(o['nodeLabels'] ?? ''),
    registerSchedulable: o['registerSchedulable'] !== 'false',
    logger,
  });
  const stop = () => {
    logger.info('stopping');
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
