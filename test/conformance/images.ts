/**
 * Stand-ins for upstream's test images: the same names and behaviour, made of Debian's packages and of the programs
 * that build.ts makes.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { RECIPES, type ImageConfig, type LayerRecipe, type Recipe } from '../../deploy/images/recipes.ts';
import type { Programs } from './build.ts';

const E2E = 'registry.k8s.io/e2e-test-images';

/** What Debian's dependencies name but no test image uses: package tools, dialogs, other awks. */
const UNUSED = (
  'awk base-files cdebconf debconf debianutils dpkg gawk mawk original-awk gcc-12-base install-info libdebian-installer4 ' +
  'libnewt0.52 libslang2 libtextwrap1 libmpfr6 libsigsegv2 libpam0g libaudit1 libaudit-common libdb5.3 libelogind0 ' +
  'readline-common tar util-linux-extra libcap2-bin'
).split(' ');

/** Applets that the product's own busybox image doesn't name. */
const MORE_APPLETS =
  'arp arping bc bunzip2 bzip2 cal chroot crc32 dmesg dnsdomainname dos2unix ed egrep expand expr factor fallocate fgrep find fold ' +
  'hostid httpd ionice ipcalc ipneigh link logger losetup mkpasswd nl paste ping6 pivot_root rev run-parts setpriv setsid sha1sum ' +
  'sha3sum sha512sum shred shuf start-stop-daemon strings su sysctl taskset telnetd tftp traceroute6 ts unexpand unlink unshare ' +
  'unxz unzip uudecode uuencode w watchdog who xz xzcat';

/** Busybox's shell drops variables whose names it can't use, such as those with a dash: `env` must not go through it. */
const BUSYBOX_SHELL = `#!/bin/bash
if [ "$#" = 2 ] && [ "$1" = -c ] && [ "$2" = env ]; then exec /bin/env; fi
exec -a "$0" /bin/busybox "$@"
`;

/** The applets of busybox by name, users, folders; says what upstream's images say of themselves (Alpine). */
function base(): LayerRecipe {
  const { packages, pick, folders, links, texts } = RECIPES['busybox']!;
  return {
    packages,
    pick,
    folders: [...(folders ?? []), ['home', 0o755]],
    links: [...(links ?? []), ...MORE_APPLETS.split(' ').map((a) => [`bin/${a}`, 'busybox'] as const)],
    texts: [
      ...(texts ?? []),
      ['etc/os-release', 'NAME="Alpine Linux"\nID=alpine\nPRETTY_NAME="Alpine Linux (stand-in)"\n'],
    ],
  };
}

/** Debian's busybox has been built without it. */
const PRINTENV = `#!/bin/dash
[ "$#" = 0 ] && exec env
for name; do env | sed -n "s/^$name=//p" | grep '' || exit 1; done
`;

/**
 * The tools with glibc that specs run by name; nc, sh and wget are those that understand the options specs use (Debian's
 * busybox dies of `wget -T`).
 */
const TOOLS: LayerRecipe = {
  packages: 'bash bind9-dnsutils curl dash hostname iperf iproute2 libc-bin netcat-openbsd util-linux wget'.split(' '),
  dependencies: { except: UNUSED },
  links: [
    ['bin/nc', 'nc.openbsd'],
    ['bin/sh', 'bash'],
    ['bin/wget', '/usr/bin/wget'],
    ['usr/local/bin/iperf', '/usr/bin/iperf'],
  ],
  texts: [
    ['bin/printenv', PRINTENV, 0o755],
    ['etc/wgetrc', 'tries = 1\n'],
  ],
};

/** GNU's dd over that of busybox, which knows no `nocache`. */
const GNU_DD: LayerRecipe = { packages: ['coreutils'], pick: [['bin/dd', 'bin/dd']] };

const extra = (layer: Omit<LayerRecipe, 'packages'>): LayerRecipe => ({ packages: [], ...layer });
const program = (path: string, file: string, mode = 0o755) => extra({ files: [[path, file, mode]] });

/** The side-cars of CSI drivers, and what stands in for the driver and its registrar; the tags are the suite's. */
function csiImages(file: Programs['file']): Record<string, Recipe> {
  const image = (name: string, tags: readonly string[], path: string): Recipe => ({
    ...base(),
    names: tags.map((tag) => `registry.k8s.io/sig-storage/${name}:${tag}`),
    config: { Entrypoint: [`/${name}`] },
    layers: [program(name, path)],
  });
  const sidecars = {
    'csi-attacher': ['v4.11.0', 'v4.8.1'],
    'csi-provisioner': ['v6.1.1', 'v5.2.0'],
    'csi-resizer': ['v2.1.0', 'v1.13.1'],
  } as const;
  const standIn = file['csi-stand-in'];
  const out: Record<string, Recipe> = {
    'csi-node-driver-registrar': image('csi-node-driver-registrar', ['v2.16.0'], standIn),
    hostpathplugin: image('hostpathplugin', ['v1.17.1'], standIn),
  };
  for (const [name, tags] of Object.entries(sidecars)) {
    const path = file[name as keyof typeof sidecars];
    if (path) out[name] = image(name, tags, path);
  }
  return out;
}

/** The recipes of all test images by a short name. */
export function testImages(programs: Programs): Record<string, Recipe> {
  const { file, source } = programs;
  const upstream = (...path: string[]) => join(source, 'test', 'images', ...path);
  const agnhost: LayerRecipe = extra({
    folders: [['uploads', 0o755]],
    links: [['agnhost-2', 'agnhost']],
    texts: [
      [
        'etc/passwd',
        'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' +
          'user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n',
      ],
      [
        'etc/group',
        'root:x:0:\nnogroup:x:65534:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n',
      ],
    ],
    files: [
      ['agnhost', file.agnhost, 0o755],
      ...(file.coredns ? ([['coredns', file.coredns, 0o755]] as const) : []),
      ['localhost.crt', upstream('agnhost', 'porter', 'localhost.crt'), 0o644],
      ['localhost.key', upstream('agnhost', 'porter', 'localhost.key'), 0o644],
    ],
  });
  const image = (names: string | string[], config: ImageConfig, ...layers: LayerRecipe[]): Recipe => ({
    ...base(),
    names: [names].flat().map((n) => (n.includes('/') ? n : `${E2E}/${n}`)),
    config: { Env: RECIPES['busybox']!.config.Env, ...config },
    layers,
  });
  const page = (name: string) =>
    extra({
      files: readdirSync(upstream(name, 'html')).map((f) => [f, upstream(name, 'html', f), 0o644] as const),
    });
  const web: ImageConfig = { Entrypoint: ['/agnhost'], Cmd: ['test-webserver'], WorkingDir: '/' };
  return {
    'e2e-busybox': image('busybox:1.36.1-1', { Cmd: ['sh'] }),
    'e2e-busybox-new': image(
      'busybox:1.37.0-1',
      { Cmd: ['sh'] },
      {
        packages: ['bash-static'],
        pick: [['bin/bash-static', 'bin/bash']],
        texts: [['bin/sh', BUSYBOX_SHELL, 0o755]],
      },
    ),
    agnhost: image(
      ['agnhost:2.63.0', 'agnhost:2.55'],
      { Entrypoint: ['/agnhost'], Cmd: ['pause'], WorkingDir: '/' },
      TOOLS,
      agnhost,
    ),
    kitten: image('kitten:1.8', web, TOOLS, agnhost, page('kitten')),
    nautilus: image('nautilus:1.8', web, TOOLS, agnhost, page('nautilus')),
    'e2e-nginx': { ...RECIPES['nginx']!, names: [`${E2E}/nginx:1.15-4`] },
    'e2e-nginx-new': { ...RECIPES['nginx']!, names: [`${E2E}/nginx:1.27-0`] },
    nonroot: image('nonroot:1.5', { Cmd: ['sh'], User: '1234' }),
    nonewprivs: image('nonewprivs:1.4', { Cmd: ['nnp'] }, program('usr/local/bin/nnp', file.nonewprivs, 0o6755)),
    'sample-apiserver': image(
      'sample-apiserver:1.29.2',
      { Entrypoint: ['/sample-apiserver'] },
      program('sample-apiserver', file['sample-apiserver']),
    ),
    etcd: image(
      'registry.k8s.io/etcd:3.6.8-0',
      { Cmd: ['etcd'] },
      { packages: ['etcd-server', 'libc6'], links: [['usr/local/bin/etcd', '/usr/bin/etcd']] },
    ),
    'resource-consumer': image(
      'resource-consumer:1.14',
      { Entrypoint: ['/consumer'] },
      program('consumer', file['resource-consumer']),
      program('consume-cpu/consume-cpu', file['consume-cpu']),
      { packages: ['stress', 'libc6'] },
    ),
    'regression-issue-74839': image(
      'regression-issue-74839:1.4',
      { Entrypoint: ['/regression-issue-74839'] },
      program('regression-issue-74839', file['regression-issue-74839']),
    ),
    'glibc-dns-testing': image('glibc-dns-testing:2.0.0', { Cmd: ['bash'] }, TOOLS, GNU_DD),
    'ipc-utils': image('ipc-utils:1.4', { Cmd: ['sh'] }, TOOLS),
    'distroless-iptables': image(
      'registry.k8s.io/build-image/distroless-iptables:v0.9.6',
      {},
      { packages: ['conntrack', 'iptables'], dependencies: { except: UNUSED } },
    ),
    ...csiImages(file),
  };
}
