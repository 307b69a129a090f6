/** What a pod knows of the network: hostname, hosts file, resolv.conf. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import type { DnsConfig } from '../cri/types.ts';
import { ConfigError } from './env.ts';

type ReadPod = DeepReadonly<Pod>;

/** The host name without domain and, with a subdomain, the name's domain part. */
function podHostname(pod: ReadPod, clusterDomain: string): { hostname: string; domain: string } {
  const spec = pod.spec!;
  if (spec.hostnameOverride) return { hostname: spec.hostnameOverride, domain: '' };
  const hostname = spec.hostname || truncate(pod.metadata!.name!);
  const domain = spec.subdomain ? `${spec.subdomain}.${pod.metadata!.namespace}.svc.${clusterDomain}` : '';
  return { hostname, domain };
}

const truncate = (name: string): string => (name.length <= 63 ? name : name.slice(0, 63).replace(/[-.]+$/, ''));

/** What uname says inside the pod: with setHostnameAsFQDN the whole name, at most 64 bytes. Pods on the host's network have the host's. */
export function sandboxHostname(pod: ReadPod, clusterDomain: string): string {
  if (pod.spec!.hostNetwork) return '';
  const { hostname, domain } = podHostname(pod, clusterDomain);
  if (!pod.spec!.setHostnameAsFQDN || domain === '') return hostname;
  const fqdn = `${hostname}.${domain}`;
  if (fqdn.length > 64)
    throw new ConfigError(
      `failed to construct FQDN from Pod hostname and cluster domain, FQDN ${fqdn} is too long (64 characters is the max, ${fqdn.length} characters requested)`,
    );
  return fqdn;
}

/** The text of a pod's /etc/hosts. */
export function hostsFile(
  pod: ReadPod,
  podIPs: readonly string[],
  clusterDomain: string,
  hostFile: string | undefined,
): string {
  const aliases = pod.spec!.hostAliases ?? [];
  let out: string;
  if (hostFile !== undefined) out = `# Kubernetes-managed hosts file (host network).\n${hostFile}`;
  else {
    const { hostname, domain } = podHostname(pod, clusterDomain);
    out =
      '# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n';
    for (const ip of podIPs) out += domain ? `${ip}\t${hostname}.${domain}\t${hostname}\n` : `${ip}\t${hostname}\n`;
  }
  if (aliases.length) {
    out += '\n# Entries added by HostAliases.\n';
    for (const a of aliases) out += `${a.ip}\t${(a.hostnames ?? []).join('\t')}\n`;
  }
  return out;
}

/** The parts of a resolv.conf. */
export function parseResolvConf(text: string): DnsConfig {
  const out: DnsConfig = { servers: [], searches: [], options: [] };
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === 'nameserver' && rest[0]) out.servers.push(rest[0]);
    // the last search line counts, so do the last options
    else if (word === 'search') out.searches = rest.filter((s) => s !== '.').map((s) => s.replace(/\.$/, ''));
    else if (word === 'options') out.options = rest;
  }
  return out;
}

export interface DnsSettings {
  clusterDNS: readonly string[];
  clusterDomain: string;
  /** The node's resolv.conf. */
  node: DnsConfig;
}

const unique = (list: readonly string[]): string[] => [...new Set(list)];

/** A pod's resolv.conf by its dnsPolicy and dnsConfig. `warning` says that names were cut off. */
export function podDns(pod: ReadPod, settings: DnsSettings): { dns: DnsConfig; warning?: string } {
  const spec = pod.spec!;
  let policy = spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'ClusterFirst' && spec.hostNetwork) policy = 'Default';
  if (policy === 'ClusterFirstWithHostNet') policy = 'ClusterFirst';
  let warning: string | undefined;
  if (policy === 'ClusterFirst' && settings.clusterDNS.length === 0) {
    warning =
      'the kubelet has no ClusterDNS IP configured and can not create a Pod using "ClusterFirst" policy. Falling back to "Default" policy.';
    policy = 'Default';
  }
  let dns: DnsConfig;
  if (policy === 'None') dns = { servers: [], searches: [], options: [] };
  else if (policy === 'Default')
    dns = {
      servers: [...settings.node.servers],
      searches: [...settings.node.searches],
      options: [...settings.node.options],
    };
  else {
    const d = settings.clusterDomain;
    const own = d ? [`${pod.metadata!.namespace}.svc.${d}`, `svc.${d}`, d] : [];
    dns = {
      servers: [...settings.clusterDNS],
      searches: unique([...own, ...settings.node.searches]),
      options: ['ndots:5'],
    };
  }
  const extra = spec.dnsConfig;
  if (extra) {
    dns.servers = unique([...dns.servers, ...(extra.nameservers ?? [])]);
    dns.searches = unique([...dns.searches, ...(extra.searches ?? [])]);
    const options = new Map<string, string>();
    for (const o of dns.options) options.set(o.split(':')[0]!, o);
    for (const o of extra.options ?? [])
      options.set(o.name!, o.value === undefined || o.value === '' ? o.name! : `${o.name}:${o.value}`);
    dns.options = [...options.values()];
  }
  if (dns.servers.length > 3) {
    dns.servers = dns.servers.slice(0, 3);
    warning = `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${dns.servers.join(' ')}`;
  }
  let length = 0;
  const kept = dns.searches.filter((s, i) => i < 32 && (length += s.length + 1) <= 2049);
  if (kept.length < dns.searches.length) {
    dns.searches = kept;
    warning = `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${kept.join(' ')}`;
  }
  return warning === undefined ? { dns } : { dns, warning };
}
