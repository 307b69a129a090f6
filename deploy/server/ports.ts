/** Ports that the server's programs need: asked for before anything is started. */
import { createServer } from 'node:net';
import { runningPid } from '../cluster/processes.ts';
import { DASHBOARD_PORT, ETCD_PORT, INSIGHT_PORT, REGISTRY_PORT, type ServerOptions } from './options.ts';

const isFree = (port: number) =>
  new Promise<boolean>((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '0.0.0.0', () => probe.close(() => resolve(true)));
  });

/** Throws with one sentence when a port is taken by somebody else than this server's own programs. */
export async function checkPorts(options: ServerOptions): Promise<void> {
  const wanted: [program: string, port: number, change: string][] = [
    ['apiserver', options.port, 'choose another with --port'],
    ['registry', REGISTRY_PORT, 'end what listens there'],
    ['dashboard', DASHBOARD_PORT, 'end what listens there'],
    ['insight', INSIGHT_PORT, 'end what listens there'],
    ...(options.store === 'etcd' ? [['etcd', ETCD_PORT, 'end what listens there'] as [string, number, string]] : []),
  ];
  for (const [program, port, change] of wanted)
    if (runningPid(options.dataDir, program) === undefined && !(await isFree(port)))
      throw new Error(`port ${port} (${program}) is in use on this machine: ${change}`);
}
