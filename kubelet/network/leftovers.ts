/**
 * Network namespaces and addresses of sandboxes that the runtime never recorded, since it was killed while it made them. Nobody
 * else would give them back. Only what is surely the runtime's own is touched: other runtimes may share the machine.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { BlockList, isIP } from 'node:net';
import { basename, join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Exec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import { isGrpcNotFound } from '../cri/client.ts';
import type { SandboxNetwork, SandboxNetworks } from '../cri/networks.ts';
import type { Runtime } from '../cri/types.ts';

/** Names that containerd gives its namespaces. */
const NAMESPACE = /^cni-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** An empty namespace may be one that another runtime is about to connect: it takes so many times as long until it is nobody's. */
const UNMARKED = 5;
/** Where libcni remembers what each ADD gave. */
const RESULTS = '/var/lib/cni/results';

export interface LeftoverOptions {
  runtime: Pick<Runtime, 'listSandboxes' | 'networks' | 'sandboxNamespace' | 'oldestStart'>;
  exec: Exec;
  clock: Clock;
  logger: Logger;
  /** Milliseconds that something must have been nobody's. */
  ageMs: number;
  /** Defaults to /var/lib/cni/results. */
  results?: string;
}

/** What the host-local plugin keeps for one interface of a sandbox. */
interface Holding {
  sandbox: string;
  ifName: string;
  list: SandboxNetwork;
  addresses: string[];
}

const names = (dir: string) => readdir(dir).catch(() => [] as string[]);

/** Addresses by the sandboxes that they were given to. Only of folders that the network names itself: the usual one may be others' too. */
async function holdings(networks: SandboxNetworks): Promise<Map<string, Holding>> {
  const out = new Map<string, Holding>();
  for (const list of networks.lists)
    for (const { ipam } of list.plugins) {
      if (ipam?.type !== 'host-local' || !ipam.dataDir) continue;
      const dir = join(ipam.dataDir, list.name);
      for (const address of (await names(dir)).filter((n) => isIP(n) !== 0)) {
        const text = await readFile(join(dir, address), 'utf8').catch(() => '');
        const [sandbox, ifName] = text.split(/\r?\n/);
        if (!sandbox || !ifName) continue;
        const held = out.get(`${sandbox}/${ifName}`) ?? { sandbox, ifName, list, addresses: [] };
        held.addresses.push(address);
        out.set(`${sandbox}/${ifName}`, held);
      }
    }
  return out;
}

/** The ranges that the networks give addresses of. */
function ranges(networks: SandboxNetworks): BlockList {
  const out = new BlockList();
  for (const { plugins } of networks.lists)
    for (const { subnet } of plugins.flatMap((p) => p.ipam?.ranges ?? []).flat()) {
      const [address, bits] = (subnet ?? '').split('/');
      if (address && isIP(address)) out.addSubnet(address, Number(bits), isIP(address) === 6 ? 'ipv6' : 'ipv4');
    }
  return out;
}

/** Inodes of the network namespaces that some process is in. */
async function inhabited(): Promise<Set<number>> {
  const out = new Set<number>();
  for (const pid of (await names('/proc')).filter((n) => /^\d+$/.test(n))) {
    const link = await readlink(`/proc/${pid}/ns/net`).catch(() => '');
    out.add(Number(/\[(\d+)\]/.exec(link)?.[1]));
  }
  return out;
}

export function createLeftovers(options: LeftoverOptions): { look(): Promise<void> } {
  const { runtime, exec, clock, logger, ageMs } = options;
  const results = options.results ?? RESULTS;
  /** Since when something has been nobody's. */
  const since = new Map<string, number>();
  /** The names of sandboxes' namespaces, '' for one without, by the sandboxes' ids. */
  const owned = new Map<string, string>();

  /** Those that have been nobody's for long enough: none of the sandboxes being made can still turn out to be theirs. */
  function ripe(found: readonly string[]): Set<string> {
    const now = clock.monotonic();
    const oldest = runtime.oldestStart() ?? Infinity;
    for (const key of since.keys()) if (!found.includes(key)) since.delete(key);
    for (const key of found) if (!since.has(key)) since.set(key, now);
    return new Set(found.filter((key) => now - since.get(key)! >= ageMs && oldest > since.get(key)!));
  }

  /** Learns the namespaces of these sandboxes; false when the runtime keeps them to itself. */
  async function learn(sandboxes: readonly string[]): Promise<boolean> {
    for (const id of sandboxes.filter((s) => !owned.has(s))) {
      const path = await runtime.sandboxNamespace(id).catch((error: unknown) => {
        if (isGrpcNotFound(error)) return ''; // it went meanwhile
        throw error;
      });
      if (path === undefined) return false;
      owned.set(id, basename(path));
    }
    return true;
  }

  async function addressesIn(path: string): Promise<string[]> {
    // an empty file where the namespace was to be mounted has none
    const text = await exec('nsenter', [`--net=${path}`, 'ip', '-j', 'address', 'show', 'scope', 'global']).catch(
      () => '',
    );
    const links = JSON.parse(text || '[]') as { addr_info?: { local?: string }[] }[];
    return links.flatMap((l) => (l.addr_info ?? []).flatMap((a) => a.local ?? []));
  }

  /** Has the plugins undo what they did for a sandbox; its namespace need not be there any more. */
  async function undo(networks: SandboxNetworks, held: Holding): Promise<void> {
    const { list, sandbox, ifName } = held;
    for (const plugin of list.plugins.toReversed()) {
      // host ports are taken away only when some are named; which ones doesn't matter
      const runtimeConfig = plugin.capabilities?.['portMappings']
        ? { portMappings: [{ hostPort: 1, containerPort: 1, protocol: 'tcp' }] }
        : {};
      const env = {
        CNI_COMMAND: 'DEL',
        CNI_CONTAINERID: sandbox,
        CNI_NETNS: '',
        CNI_IFNAME: ifName,
        CNI_PATH: networks.binDirs.join(':'),
      };
      const input = JSON.stringify({ ...plugin, name: list.name, cniVersion: list.cniVersion, runtimeConfig });
      const programs = networks.binDirs.map((dir) => join(dir, plugin.type));
      await exec(programs.find((p) => existsSync(p)) ?? plugin.type, [], { env, input });
    }
    await rm(join(results, `${list.name}-${sandbox}-${ifName}`), { force: true });
  }

  async function removeNamespace(path: string): Promise<void> {
    await exec('umount', ['-l', path]).catch(() => {}); // it need not be mounted
    await rm(path, { force: true });
    for (const file of await names(results)) {
      const text = await readFile(join(results, file), 'utf8').catch(() => '');
      if (text.includes(basename(path))) await rm(join(results, file), { force: true });
    }
  }

  return {
    /** Looks once, and removes what is ripe. */
    async look() {
      const networks = await runtime.networks();
      if (!networks) return;
      const namespaces = (await names(networks.namespaces)).filter((n) => NAMESPACE.test(n));
      const held = await holdings(networks);
      // listed after what they may own: what is made meanwhile is nobody's for one look at most
      const living = new Set((await runtime.listSandboxes()).map((s) => s.id));
      for (const id of owned.keys()) if (!living.has(id)) owned.delete(id);
      const unowned = () => {
        const taken = new Set(owned.values());
        return namespaces.filter((n) => !taken.has(n));
      };
      const lost = [...held].filter(([, h]) => !living.has(h.sandbox)).map(([key]) => key);
      const due = ripe([...unowned(), ...lost]);
      if (due.size === 0 || !(await learn([...living]))) return;

      const own = ranges(networks);
      const pids = await inhabited();
      const busy = new Set<string>();
      const removed: string[] = [];
      for (const name of unowned()) {
        const path = join(networks.namespaces, name);
        const there = await stat(path).catch(() => undefined);
        if (!there) continue;
        const addresses = await addressesIn(path);
        const ours = addresses.every((a) => own.check(a, isIP(a) === 6 ? 'ipv6' : 'ipv4'));
        const age = clock.monotonic() - since.get(name)!;
        const old = addresses.length > 0 || age >= ageMs * UNMARKED;
        if (due.has(name) && ours && old && !pids.has(there.ino)) removed.push(path);
        else for (const a of addresses) busy.add(a);
      }
      const freed = lost.map((key) => held.get(key)!).filter((h) => due.has(`${h.sandbox}/${h.ifName}`));
      for (const h of freed.filter((f) => !f.addresses.some((a) => busy.has(a))))
        await undo(networks, h).then(
          () => logger.info('gave back addresses of no sandbox', { sandbox: h.sandbox, addresses: h.addresses }),
          (error: unknown) => logger.warn('could not give back addresses of no sandbox', { sandbox: h.sandbox, error }),
        );
      for (const path of removed) {
        await removeNamespace(path);
        logger.info('removed the network namespace of no sandbox', { path });
      }
    },
  };
}
