/** The kernel's limits for the connections it tracks on this node, as kube-proxy's --conntrack-* flags name them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../base/log.ts';

/** Times in milliseconds; 0 leaves a setting as it is. */
export interface ConntrackLimits {
  /** Entries per CPU of the node, and at least how many for all of them. */
  maxPerCore: number;
  min: number;
  tcpEstablishedMs: number;
  /** A half-closed connection may be used for long; the kernel's own minute would cut it off. */
  tcpCloseWaitMs: number;
  udpMs: number;
  udpStreamMs: number;
  /** Packets outside of the window belong to their connection all the same. */
  tcpBeLiberal: boolean;
}

/** Settings below /proc/sys/net/netfilter with the values they are to have. Pure. */
export function conntrackSettings(limits: ConntrackLimits, cpus: number): Record<string, number> {
  const seconds = (ms: number) => Math.floor(ms / 1000);
  const all = {
    nf_conntrack_max: limits.maxPerCore > 0 ? Math.max(limits.min, limits.maxPerCore * cpus) : 0,
    nf_conntrack_tcp_timeout_established: seconds(limits.tcpEstablishedMs),
    nf_conntrack_tcp_timeout_close_wait: seconds(limits.tcpCloseWaitMs),
    nf_conntrack_udp_timeout: seconds(limits.udpMs),
    nf_conntrack_udp_timeout_stream: seconds(limits.udpStreamMs),
    nf_conntrack_tcp_be_liberal: limits.tcpBeLiberal ? 1 : 0,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value > 0));
}

/** Tells the kernel. The count of entries is only ever raised; what can't be written (in a container's network) stays. */
export function applyConntrackSettings(
  settings: Readonly<Record<string, number>>,
  logger: Logger,
  dir = '/proc/sys/net/netfilter',
): void {
  for (const [name, value] of Object.entries(settings)) {
    const file = join(dir, name);
    try {
      const now = Number(readFileSync(file, 'utf8'));
      if (now === value || (name === 'nf_conntrack_max' && now > value)) continue;
      writeFileSync(file, `${value}\n`);
    } catch (error) {
      logger.debug('a limit of tracked connections could not be set', { name, value, error });
    }
  }
}
