/** `k8ts agent`: joins this machine to a cluster and keeps its node programs running. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { findProgram } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import { supervise, type Program } from '../cluster/supervisor.ts';
import { componentSpec } from '../replace.ts';
import { discover } from './discovery.ts';
import { nodeFiles, writeNodeFiles, type NodeFiles } from './files.ts';
import { CONTAINERD_SOCKET, type AgentOptions, type NodeSettings } from './options.ts';

const settingsFile = (options: AgentOptions) => join(options.dataDir, 'settings.json');

/**
 * Starts the node's programs: containerd, kubelet, service proxy. A node that has joined before comes up without its
 * server. The result's `stop` ends the programs (pods go on); `detach` leaves them.
 */
export async function startAgent(
  options: AgentOptions,
  deps: { clock: Clock; logger: Logger; say(line: string): void; waitMs?: number },
) {
  mkdirSync(options.dataDir, { recursive: true });
  let settings: NodeSettings;
  let files: NodeFiles;
  if (existsSync(settingsFile(options))) {
    settings = JSON.parse(readFileSync(settingsFile(options), 'utf8')) as NodeSettings;
    files = nodeFiles(options);
  } else {
    const found = await discover({
      server: options.server,
      token: options.token,
      clock: deps.clock,
      waitMs: deps.waitMs ?? 60_000,
      say: deps.say,
    });
    settings = found.settings;
    files = writeNodeFiles(options, found.ca, settings);
    writeFileSync(settingsFile(options), JSON.stringify(settings));
  }
  return supervise({
    dir: options.dataDir,
    programs: agentPrograms(options, files, settings),
    clock: deps.clock,
    logger: deps.logger,
  });
}

function agentPrograms(options: AgentOptions, files: NodeFiles, settings: NodeSettings): Program[] {
  const replaced = options.replace;
  const containerd = replaced?.['containerd'] ?? findProgram('containerd') ?? 'containerd';
  return [
    { name: 'containerd', command: containerd, args: ['-c', files.containerdConfig] },
    {
      ...componentSpec('kubelet', {
        file: 'kubelet/main.ts',
        replaced,
        flags: {
          config: files.kubeletConfig,
          kubeconfig: files.kubeconfig,
          'bootstrap-kubeconfig': files.bootstrapKubeconfig,
          'cert-dir': files.certDir,
          'hostname-override': options.nodeName,
          'node-ip': options.nodeAddress,
        },
        own: { 'local-path-volumes': true },
      }),
      ready: () => existsSync(CONTAINERD_SOCKET),
    },
    {
      ...componentSpec('proxy', {
        file: 'proxy/main.ts',
        replaced,
        flags: {
          kubeconfig: files.kubeconfig,
          'hostname-override': options.nodeName,
          'cluster-cidr': settings.podCidr,
          'load-balancer-cidrs': settings.loadBalancerCidrs ?? '',
          network: settings.network ?? 'auto',
          'cni-conf-dir': files.cniDir,
          'cni-data-dir': join(options.dataDir, 'cni-data'),
        },
      }),
      ready: () => existsSync(files.kubeconfig),
    },
  ];
}
