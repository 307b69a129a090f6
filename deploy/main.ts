/** The k8ts command: parses the command line and hands over to deploy/commands. */
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { createContext, requireRoot, UserError } from './commands/context.ts';
import { dashboard } from './commands/dashboard.ts';
import { down } from './commands/down.ts';
import { imageBuild, imageList, imageLoad, imageRemove, type BuildOptions } from './commands/images.ts';
import { logs, printKubeconfig, status, tokenCreate } from './commands/inspect.ts';
import { podLogs } from './commands/pod-logs.ts';
import { top, type TopOptions } from './commands/top.ts';
import { up, type UpOptions } from './commands/up.ts';
import { why, type WhyOptions } from './commands/why.ts';
import { staySmall } from '../base/lean.ts';
import { KUBERNETES_VERSION } from '../api/version.ts';
import { homeDir } from './cluster/config.ts';
import { startAgent } from './node/agent.ts';
import { JoinError } from './node/discovery.ts';
import { addReplacement, type Replacements } from './replace.ts';
import { startServer } from './server/server.ts';
import { installUnit } from './systemd.ts';
import type { ServerOptions } from './server/options.ts';

const whole = (min: number, max: number) => (text: string) => {
  const n = Number(text);
  if (!Number.isInteger(n) || n < min || n > max)
    throw new InvalidArgumentError(`it must be a whole number from ${min} to ${max}.`);
  return n;
};
const nameOption = () => new Option('--name <name>', 'name of the cluster').default('k8ts');
const storeOption = () => new Option('--store <store>', 'where objects are stored').choices(['lmdb', 'etcd']);

const replaceOption = () =>
  new Option('--replace <program=file>', 'run another program in place of ours, such as the original (repeatable)')
    .argParser((text: string, before: Replacements) => {
      try {
        return addReplacement(text, before);
      } catch (error) {
        throw new InvalidArgumentError((error as Error).message);
      }
    })
    .default({}, 'none');

interface LogsOptions {
  name: string;
  node?: string;
  tail?: number;
  all?: boolean;
  selector?: string;
  namespace: string;
  allNamespaces?: boolean;
  follow?: boolean;
  since?: number;
  colour: boolean;
}

const networkOption = () =>
  new Option('--network <how>', 'how pods of different nodes reach each other')
    .choices(['auto', 'routes', 'vxlan'])
    .default('auto');

/** The machine's first address that isn't loopback. */
function ownAddress(): string {
  for (const list of Object.values(networkInterfaces()))
    for (const a of list ?? []) if (!a.internal && a.family === 'IPv4') return a.address;
  throw new UserError('this machine has no address of its own: name one');
}

/** What stood behind the command, for the unit that repeats it. */
const argumentsAfter = (command: string) =>
  process.argv.slice(process.argv.indexOf(command) + 1).filter((a) => a !== '--install');

/** Keeps the process alive until SIGTERM or SIGINT, then stops. */
async function untilSignal(stop: () => Promise<void>): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await stop();
}

const cli = new Command('k8ts')
  .description('Kubernetes in TypeScript')
  .version(`k8ts for Kubernetes ${KUBERNETES_VERSION}`)
  .option('-v, --verbose', 'say every command that is run');
const ctx = () => createContext({ verbose: cli.opts<{ verbose?: boolean }>().verbose === true });

cli
  .command('up')
  .description('make a cluster on this machine')
  .addOption(nameOption())
  .addOption(storeOption())
  .option('--nodes <n>', 'how many nodes (default: 3)', whole(1, 100))
  .addOption(new Option('--ip-family <families>', 'of pods and Services').choices(['ipv4', 'dual']).default('ipv4'))
  .addOption(networkOption())
  .option('--no-ingress', 'run no Ingress controller')
  .option('--no-install', 'install nothing; say what is missing')
  .option('--egress', "let pods reach what this machine reaches, behind this machine's address")
  .addOption(replaceOption())
  .action((o: UpOptions) => up(ctx(), o));

cli
  .command('down')
  .description('remove a cluster with all it made')
  .addOption(nameOption())
  .action((o: { name: string }) => down(ctx(), o));

cli
  .command('status')
  .description('show clusters, their programs and nodes')
  .option('--name <name>', 'only this cluster')
  .action((o: { name?: string }) => status(ctx(), o));

cli
  .command('server')
  .description('make this machine a control plane')
  .option('--data-dir <dir>', 'where everything is kept', join(homeDir(), 'server'))
  .option('--address <ip>', 'address that nodes reach this machine at')
  .option('--port <port>', 'port of the API', whole(1, 65535), 6443)
  .addOption(storeOption().default('lmdb'))
  .option('--pod-cidr <cidr>', 'addresses of pods', '10.244.0.0/16')
  .option('--service-cidr <cidr>', 'addresses of Services', '10.96.0.0/16')
  .addOption(networkOption())
  .option('--load-balancer-cidrs <cidrs>', 'addresses for Services of type LoadBalancer, of the node network', '')
  .option('--no-ingress', 'run no Ingress controller')
  .option('--dns-address <ip>', 'address of cluster DNS', '10.96.0.10')
  .option('--cluster-domain <domain>', 'domain of Service names', 'cluster.local')
  .option('--cluster-name <name>', 'name in kubeconfigs', 'k8ts')
  .option('--cache-dir <dir>', 'where made images are kept', join(homeDir(), '.cache'))
  .addOption(replaceOption())
  .option('--install', 'keep it running with systemd, also after a reboot')
  .action(async (o: Omit<ServerOptions, 'address'> & { address?: string; install?: boolean }) => {
    const c = ctx();
    requireRoot('k8ts server');
    if (o.install) return c.say(`installed ${await installUnit(c.exec, 'server', argumentsAfter('server'))}`);
    const running = await startServer(
      { ...o, address: o.address ?? ownAddress() },
      { clock: c.clock, logger: c.logger, say: c.progress },
    );
    c.progress('server ready');
    await untilSignal(() => running.stop());
  });

cli
  .command('agent')
  .description('make this machine a node of a cluster')
  .requiredOption('--server <url>', 'the API server, as https://ADDRESS:6443')
  .requiredOption('--token <token>', 'made on the server with: k8ts token create')
  .option('--node-name <name>', 'name of the node (default: the host name)')
  .option('--node-address <ip>', 'address that other nodes reach this one at')
  .option('--data-dir <dir>', 'where the node keeps its things', join(homeDir(), 'agent'))
  .option('--cgroup-root <path>', 'parent of the pods cgroups', '')
  .addOption(replaceOption())
  .option('--install', 'keep it running with systemd, also after a reboot')
  .action(
    async (o: {
      server: string;
      token: string;
      nodeName?: string;
      nodeAddress?: string;
      dataDir: string;
      cgroupRoot: string;
      replace: Replacements;
      install?: boolean;
    }) => {
      const c = ctx();
      requireRoot('k8ts agent');
      if (o.install) return c.say(`installed ${await installUnit(c.exec, 'agent', argumentsAfter('agent'))}`);
      const options = {
        ...o,
        server: o.server.replace(/\/$/, ''),
        nodeName: o.nodeName ?? hostname().toLowerCase(),
        nodeAddress: o.nodeAddress ?? ownAddress(),
      };
      const running = await startAgent(options, { clock: c.clock, logger: c.logger, say: c.progress });
      c.progress('agent running');
      await untilSignal(() => running.stop(10_000));
    },
  );

cli
  .command('token')
  .description('tokens for joining machines')
  .command('create')
  .addOption(nameOption())
  .option('--data-dir <dir>', 'the data folder of a k8ts server on this machine')
  .option('--ttl <hours>', 'hours until it expires', whole(1, 8760), 24)
  .action((o: { name: string; dataDir?: string; ttl: number }) => tokenCreate(ctx(), o));

cli
  .command('kubeconfig')
  .description("print a cluster's kubeconfig")
  .addOption(nameOption())
  .option('--path', 'print only where it lies')
  .action((o: { name: string; path?: boolean }) => printKubeconfig(ctx(), o));

cli
  .command('dashboard')
  .description('print an address that opens the dashboard, signed in as an administrator')
  .addOption(nameOption())
  .option('--hours <hours>', 'how long it may be used', whole(1, 24), 12)
  .action((o: { name: string; hours: number }) => dashboard(ctx(), o));

const kubeconfigOption = () => new Option('--kubeconfig <file>', 'ask this cluster instead');
cli
  .command('why <object...>')
  .description('say why an object is not what it should be, and what would help: k8ts why pod/NAME')
  .addOption(nameOption())
  .addOption(kubeconfigOption())
  .option('-n, --namespace <namespace>', 'namespace of the object', 'default')
  .addOption(new Option('-o, --output <form>', 'how to print it').choices(['json']))
  .action((words: string[], o: WhyOptions) => why(ctx(), words, o));

cli
  .command('top <nodes|pods>')
  .description('show what nodes or pods use')
  .addOption(nameOption())
  .addOption(kubeconfigOption())
  .option('-n, --namespace <namespace>', 'namespace of the pods', 'default')
  .option('-A, --all-namespaces', 'pods of all namespaces')
  .option('-l, --selector <labels>', 'only those with these labels')
  .action((what: string, o: TopOptions) => top(ctx(), what, o));

const image = cli.command('image').description("the cluster's images");
image
  .command('load <archive>')
  .description('make the images of an OCI archive pullable on every node')
  .addOption(nameOption())
  .option('--as <name>', 'name to give the image')
  .action((file: string, o: { name: string; as?: string }) => imageLoad(ctx(), file, o));
image
  .command('build <tar>')
  .description('make an image of a root file system in a tar (docker export), pullable on every node')
  .addOption(nameOption())
  .requiredOption('--as <name>', 'name to give the image')
  .option('--entrypoint <words...>', 'what a container runs')
  .option('--cmd <words...>', 'its arguments, or what it runs when there is no entrypoint')
  .option('--env <settings...>', 'environment, as KEY=VALUE')
  .option('--user <user>', 'user (and group) that it runs as')
  .option('--workdir <folder>', 'folder that it starts in')
  .action((file: string, o: BuildOptions) => imageBuild(ctx(), file, o));
image
  .command('rm <image>')
  .description('forget an image, on the nodes too')
  .addOption(nameOption())
  .action((name: string, o: { name: string }) => imageRemove(ctx(), name, o));
image
  .command('ls')
  .description('list the images in the registry')
  .addOption(nameOption())
  .action((o: { name: string }) => imageList(ctx(), o));

cli
  .command('logs [component]')
  .description(
    'print the log of a program (apiserver, scheduler, controllers, etcd, registry, kubelet, proxy, containerd ...), or with --all or -l the merged logs of pods',
  )
  .addOption(nameOption())
  .option('--node <node>', 'of this node')
  .option('--tail <lines>', 'the last lines only (of each container)', whole(1, 1_000_000))
  .option('--all', 'all pods of the namespace')
  .option('-l, --selector <labels>', 'pods with these labels')
  .option('-n, --namespace <namespace>', 'namespace of the pods', 'default')
  .option('-A, --all-namespaces', 'pods of all namespaces')
  .option('-f, --follow', 'go on until interrupted')
  .option('--since <seconds>', 'lines of the last so many seconds', whole(1, 1_000_000_000))
  .option('--no-colour', "don't colour the names of pods")
  .action((component: string | undefined, o: LogsOptions) => {
    if (component !== undefined) return logs(ctx(), component, o);
    if (!o.all && !o.selector && !o.allNamespaces)
      throw new UserError('name a program (k8ts logs apiserver), or pods with --all or -l app=NAME');
    const { name, selector, follow, tail, since } = o;
    const interrupted = new AbortController();
    process.once('SIGINT', () => interrupted.abort());
    process.once('SIGTERM', () => interrupted.abort());
    const colour = o.colour && process.stdout.isTTY && !process.env['NO_COLOR'];
    const namespace = o.allNamespaces ? undefined : o.namespace;
    const options = { name, namespace, selector, follow, tail, sinceSeconds: since, colour };
    return podLogs(ctx(), options, interrupted.signal);
  });

async function main(): Promise<void> {
  staySmall();
  // a reader that had enough (head, less) ends the command quietly
  process.stdout.on('error', () => process.exit(0));

  try {
    await cli.parseAsync();
  } catch (error) {
    if (!(error instanceof UserError) && !(error instanceof JoinError) && cli.opts<{ verbose?: boolean }>().verbose)
      throw error;
    process.stderr.write(`k8ts: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

if (import.meta.main) await main();
