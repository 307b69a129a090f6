/** Builds upstream's programs (its components, e2e.test, what its test images hold) from their Go modules, once per version. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, type Exec } from '../../base/exec.ts';
import { underLock } from '../../base/lock.ts';
import { KUBERNETES_VERSION as VERSION } from '../../api/version.ts';

/** Where our go.mod pins the programs. */
const MODULE = join(dirname(fileURLToPath(import.meta.url)), 'module');
const KUBERNETES = 'k8s.io/kubernetes';
const MINUTES = 60_000;

/** The components that can take the place of ours, and kubectl. */
const COMPONENTS = {
  kubectl: `${KUBERNETES}/cmd/kubectl`,
  'kube-apiserver': `${KUBERNETES}/cmd/kube-apiserver`,
  'kube-controller-manager': `${KUBERNETES}/cmd/kube-controller-manager`,
  'kube-scheduler': `${KUBERNETES}/cmd/kube-scheduler`,
  kubelet: `${KUBERNETES}/cmd/kubelet`,
} as const;

/** What the conformance suite needs. */
const SUITE = {
  kubectl: COMPONENTS.kubectl,
  agnhost: `${KUBERNETES}/test/images/agnhost`,
  nonewprivs: `${KUBERNETES}/test/images/nonewprivs`,
  'regression-issue-74839': `${KUBERNETES}/test/images/regression-issue-74839`,
  'resource-consumer': `${KUBERNETES}/test/images/resource-consumer`,
  'consume-cpu': `${KUBERNETES}/test/images/resource-consumer/consume-cpu`,
  'sample-apiserver': 'k8s.io/sample-apiserver',
  'e2e.test': `${KUBERNETES}/test/e2e`,
  'csi-stand-in': './csi',
} as const;

/** Programs of other modules that images of some specs hold: module, version, package within it. */
const OTHERS = {
  coredns: ['github.com/coredns/coredns', 'v1.12.4', '.'],
  // the oldest that the module proxy has; their images bear the tags that the suite asks for
  'csi-attacher': ['github.com/kubernetes-csi/external-attacher/v4', 'v4.12.0', './cmd/csi-attacher'],
  'csi-provisioner': ['github.com/kubernetes-csi/external-provisioner/v6', 'v6.3.0', './cmd/csi-provisioner'],
  'csi-resizer': ['github.com/kubernetes-csi/external-resizer/v2', 'v2.3.0', './cmd/csi-resizer'],
} as const;
export type OtherName = keyof typeof OTHERS;

/** What the images of these specs hold beyond what every run needs: each takes minutes to build the first time. */
export function othersFor(specs: readonly { name: string }[]): OtherName[] {
  const asks = (what: RegExp) => specs.some((s) => what.test(s.name) && !s.name.includes('[Conformance]'));
  const csi = Object.keys(OTHERS).filter((n) => n.startsWith('csi-')) as OtherName[];
  return [...(asks(/\[sig-network\] DNS/) ? (['coredns'] as const) : []), ...(asks(/\[sig-storage\].*CSI/) ? csi : [])];
}

const PACKAGES = { ...COMPONENTS, ...SUITE };

export type ProgramName = keyof typeof SUITE;
export type ComponentName = keyof typeof COMPONENTS;

/** The programs' files, and the folder of upstream's module (data files of the test images). */
export interface Programs {
  file: Record<ProgramName, string> & Partial<Record<OtherName, string>>;
  source: string;
}

/** Where programs and images are kept between runs; K8TS_CONFORMANCE_CACHE moves it. */
export const conformanceCache = () =>
  process.env['K8TS_CONFORMANCE_CACHE'] ?? join(homedir(), '.cache', 'k8ts', 'conformance');

const linkerFlags = () => {
  const [major, minor] = VERSION.slice(1).split('.');
  const facts = { gitVersion: VERSION, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' };
  return ['-s', '-w', ...Object.entries(facts).map(([k, v]) => `-X k8s.io/component-base/version.${k}=${v}`)].join(' ');
};

/** A program that was built elsewhere from the same version; K8TS_UPSTREAM_BIN names the folders to look in. */
async function builtElsewhere(
  exec: Exec,
  name: string,
  module: string = KUBERNETES,
  version: string = VERSION,
): Promise<string | undefined> {
  for (const dir of (process.env['K8TS_UPSTREAM_BIN'] ?? '').split(':').filter((d) => d !== '')) {
    const file = join(dir, name);
    if (!existsSync(file)) continue;
    const facts = await exec('go', ['version', '-m', file]);
    if (facts.split('\n').some((line) => line.trim().split(/\s+/).slice(1, 3).join() === `${module},${version}`))
      return file;
  }
  return undefined;
}

const ENV = { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' };

/** Whether a program is there and no older than its source, where that is ours. */
const isFresh = (file: string, path: string): boolean =>
  existsSync(file) &&
  (!path.startsWith('./') || statSync(file).mtimeMs > statSync(join(MODULE, path, 'main.go')).mtimeMs);

async function build<N extends keyof typeof PACKAGES>(
  exec: Exec,
  names: readonly N[],
  say: (line: string) => void,
): Promise<Record<N, string>> {
  if (findProgram('go') === undefined)
    throw new Error(
      "upstream's programs are built from their Go modules: install Go 1.26 or newer, put it on the PATH",
    );
  const dir = join(conformanceCache(), `bin-${VERSION}`);
  mkdirSync(dir, { recursive: true });
  const find = async (name: N): Promise<string> => {
    const own = join(dir, name);
    const have = isFresh(own, PACKAGES[name]) ? own : await builtElsewhere(exec, name);
    if (have) return have;
    say(`building ${name} ${VERSION}`);
    const how = name === 'e2e.test' ? ['test', '-c', '-vet=off'] : ['build'];
    const args = [...how, '-p', '2', '-mod=readonly', '-ldflags', linkerFlags(), '-o', own, PACKAGES[name]];
    await exec('nice', ['-n', '10', 'go', ...args], { cwd: MODULE, env: ENV, timeoutMs: 60 * MINUTES });
    return own;
  };
  const file: Partial<Record<N, string>> = {};
  // a program that another run is building is there when that run is done
  for (const name of names) file[name] = await underLock(join(dir, name), () => find(name));
  return file as Record<N, string>;
}

/** The components' files; builds what is missing in the cache. */
export const buildComponents = (exec: Exec, say: (line: string) => void): Promise<Record<ComponentName, string>> =>
  build(exec, Object.keys(COMPONENTS) as ComponentName[], say);

/** A program of a module that isn't Kubernetes', built as that module's own go.mod pins it. */
async function buildOther(
  exec: Exec,
  name: string,
  [module, version, path]: readonly [string, string, string],
  say: (line: string) => void,
): Promise<string> {
  const own = join(conformanceCache(), `bin-${VERSION}`, `${name}-${version}`);
  const have = existsSync(own) ? own : await builtElsewhere(exec, name, module, version);
  if (have) return have;
  say(`building ${name} ${version}`);
  const download = ['mod', 'download', '-json', `${module}@${version}`];
  const { Dir } = JSON.parse(await exec('go', download, { env: ENV, timeoutMs: 10 * MINUTES })) as { Dir: string };
  const args = ['build', '-p', '2', '-mod=readonly', '-ldflags', '-s -w', '-o', own, path];
  await exec('nice', ['-n', '10', 'go', ...args], { cwd: Dir, env: ENV, timeoutMs: 60 * MINUTES });
  return own;
}

/** Builds what the suite needs and is missing in the cache; the first time takes ten minutes or more. */
export async function buildPrograms(
  exec: Exec,
  say: (line: string) => void,
  others: readonly OtherName[] = [],
): Promise<Programs> {
  const file: Programs['file'] = await build(exec, Object.keys(SUITE) as ProgramName[], say);
  for (const name of others)
    file[name] = await underLock(join(conformanceCache(), name), () => buildOther(exec, name, OTHERS[name], say));
  const list = ['list', '-mod=readonly', '-m', '-f', '{{.Dir}}', KUBERNETES];
  const source = (await exec('go', list, { cwd: MODULE, env: ENV, timeoutMs: 5 * MINUTES })).trim();
  return { file, source };
}
