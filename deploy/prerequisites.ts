/** What a machine needs to have before it can be a server or a node, and how Debian calls it. */
import type { Exec } from '../base/exec.ts';
import { findProgram } from '../base/exec.ts';

export interface Prerequisite {
  program: string;
  package: string;
  why: string;
}

export const NODE_PREREQUISITES: readonly Prerequisite[] = [
  { program: 'containerd', package: 'containerd', why: 'runs the containers' },
  { program: 'runc', package: 'runc', why: 'starts them' },
  { program: 'bridge', package: 'containernetworking-plugins', why: 'connects pods to the network' },
  { program: 'nft', package: 'nftables', why: 'routes Services' },
  { program: 'iptables', package: 'iptables', why: 'forwards host ports' },
  { program: 'conntrack', package: 'conntrack', why: 'forgets connections to endpoints that went away' },
  { program: 'ip', package: 'iproute2', why: 'makes interfaces and routes' },
  { program: 'nsenter', package: 'util-linux', why: 'enters the nodes' },
  { program: 'mount', package: 'mount', why: 'mounts volumes' },
  { program: 'sysctl', package: 'procps', why: 'turns forwarding on' },
];

export const SERVER_PREREQUISITES: readonly Prerequisite[] = [
  { program: 'docker-registry', package: 'docker-registry', why: 'serves images to the nodes' },
];

export const ETCD_PREREQUISITES: readonly Prerequisite[] = [
  { program: 'etcd', package: 'etcd-server', why: 'stores the objects (--store etcd)' },
];

/** What only the tests need. */
export const TEST_PREREQUISITES: readonly Prerequisite[] = [
  { program: 'strace', package: 'strace', why: 'shows the fsync before an acknowledgement' },
  { program: 'openssl', package: 'openssl', why: 'makes certificates that are not our own' },
  { program: 'systemd-analyze', package: 'systemd', why: 'checks the units' },
];

/** What only the long matrices need. */
export const FULL_TEST_PREREQUISITES: readonly Prerequisite[] = [
  { program: 'chromium', package: 'chromium', why: 'opens the dashboard' },
];

export const KUBECTL: Prerequisite = { program: 'kubectl', package: 'kubernetes-client', why: 'talks to the cluster' };

/** Those of the list that this machine lacks. */
export function missingPrerequisites(list: readonly Prerequisite[]): Prerequisite[] {
  const etcdPlain = (p: Prerequisite) => p.program === 'bridge' && findProgram('host-local') !== undefined;
  return list.filter((p) => (p.program === 'bridge' ? !etcdPlain(p) : findProgram(p.program) === undefined));
}

/** Installs what is missing with apt, without letting packages start services; rejects with one sentence. */
export async function installPrerequisites(
  exec: Exec,
  missing: readonly Prerequisite[],
  say: (line: string) => void,
): Promise<void> {
  const packages = [...new Set(missing.map((p) => p.package))];
  for (const p of missing) say(`installing ${p.package}: ${p.why}`);
  if (findProgram('apt-get') === undefined)
    throw new Error(`this machine has no apt-get; install these by hand and try again: ${packages.join(' ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const install = () =>
    exec('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], { env, timeoutMs: 600_000 });
  try {
    await install();
  } catch {
    await exec('apt-get', ['update', '-q'], { env, timeoutMs: 300_000 });
    await install().catch((error: unknown) => {
      throw new Error(
        `apt-get could not install ${packages.join(' ')}: ${error instanceof Error ? error.message.slice(0, 300) : ''}`,
      );
    });
  }
}
