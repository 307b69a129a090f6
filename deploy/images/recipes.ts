/**
 * The images that k8ts makes of what Debian's packages hold and of itself. A recipe is data: packages to unpack,
 * files to take from them, and the image configuration.
 */

import { MALLOC, NEW_OBJECTS } from '../paths.ts';

export interface ImageConfig {
  Entrypoint?: string[];
  Cmd?: string[];
  Env?: string[];
  User?: string;
  WorkingDir?: string;
  ExposedPorts?: Record<string, object>;
  StopSignal?: string;
}

/** Files of one layer. */
export interface LayerRecipe {
  /** Debian packages whose files are unpacked. */
  packages: string[];
  /** Takes along what the packages depend on, apart from the packages named here. */
  dependencies?: { except: readonly string[] };
  /** Paths of the unpacked packages to keep, as [from, to]; a folder is taken whole. Absent: everything but documentation. */
  pick?: (readonly [from: string, to: string])[];
  folders?: (readonly [path: string, mode: number])[];
  links?: (readonly [path: string, target: string])[];
  texts?: (readonly [path: string, content: string, mode?: number])[];
  /** Files of this machine, as [path in the image, file, mode]; the mode may hold set-user-ID bits. */
  files?: (readonly [path: string, file: string, mode?: number])[];
}

export interface Recipe extends LayerRecipe {
  /** Full names the image is served under. */
  names: string[];
  /** Further layers on top; images that have the same layers share them in registries and on nodes. */
  layers?: LayerRecipe[];
  /** Takes k8ts itself along, with the Node that runs it. */
  self?: boolean;
  config: ImageConfig;
}

const BASE_FOLDERS: Recipe['folders'] = [
  ['etc', 0o755],
  ['root', 0o700],
  ['tmp', 0o1777],
  ['var', 0o755],
  ['var/tmp', 0o1777],
  ['run', 0o755],
];
const USERS: Recipe['texts'] = [
  [
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  ],
  ['etc/group', 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n'],
  ['etc/nsswitch.conf', 'hosts: files dns\n'],
];
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Where k8ts lies in its own image, as paths without the first slash. */
export const SELF = { root: 'k8ts', compileCache: 'k8ts/node_modules/.cache/node' };

/** The applets that scripts in containers expect to find by name. */
const APPLETS =
  'ash awk base64 basename cat chgrp chmod chown clear cmp cp cut date dd df diff dirname du echo env expr false find free getopt grep ' +
  'gunzip gzip head hexdump hostname httpd id install ip ifconfig kill killall less ln ls md5sum mkdir mkfifo mknod mktemp more mount ' +
  'mountpoint mv nc netstat nice nohup nproc nslookup od patch pgrep pidof ping pkill printenv printf ps pwd readlink realpath renice ' +
  'reset rm rmdir route sed seq sh sha256sum sleep sort split stat stty sync tac tail tar tee telnet test time timeout top touch tr ' +
  'traceroute true truncate tty umount uname uniq uptime usleep vi watch wc wget which whoami xargs xxd yes zcat';

const nginxPage = '<!doctype html>\n<title>nginx on k8ts</title>\n<h1>It works</h1>\n';

export const RECIPES: Record<string, Recipe> = {
  pause: {
    names: ['registry.k8s.io/pause:3.10.2', 'registry.k8s.io/pause:latest'],
    packages: ['catatonit'],
    pick: [['usr/bin/catatonit', 'pause']],
    config: { Entrypoint: ['/pause', '-P'], User: '65535:65535' },
  },
  busybox: {
    names: ['docker.io/library/busybox:latest', 'docker.io/library/busybox:1.36'],
    packages: ['busybox-static'],
    pick: [['bin/busybox', 'bin/busybox']],
    folders: [['bin', 0o755], ...BASE_FOLDERS],
    links: APPLETS.split(' ').map((a) => [`bin/${a}`, 'busybox'] as const),
    texts: USERS,
    config: { Cmd: ['sh'], Env: [PATH] },
  },
  nginx: {
    names: ['docker.io/library/nginx:latest', 'docker.io/library/nginx:1.22'],
    packages: ['nginx', 'nginx-common', 'libc6', 'libcrypt1', 'libpcre2-8-0', 'libssl3', 'zlib1g', 'busybox-static'],
    folders: [...BASE_FOLDERS, ['var/log/nginx', 0o755], ['var/lib/nginx', 0o755], ['var/cache/nginx', 0o755]],
    links: ['sh', 'ls', 'cat', 'wget', 'sleep', 'hostname', 'rm', 'mkdir', 'cp', 'sed', 'env']
      .map((a): readonly [string, string] => [`usr/local/bin/${a}`, '/bin/busybox'])
      .concat([
        ['bin/sh', 'busybox'],
        ['var/log/nginx/access.log', '/dev/stdout'],
        ['var/log/nginx/error.log', '/dev/stderr'],
      ]),
    texts: [
      ...USERS,
      ['usr/share/nginx/html/index.html', nginxPage],
      [
        'etc/nginx/nginx.conf',
        'user www-data;\nworker_processes auto;\npid /run/nginx.pid;\nevents { worker_connections 1024; }\n' +
          'http {\n  include /etc/nginx/mime.types;\n  default_type application/octet-stream;\n  sendfile on;\n  keepalive_timeout 65;\n' +
          '  include /etc/nginx/conf.d/*.conf;\n}\n',
      ],
      [
        'etc/nginx/conf.d/default.conf',
        'server {\n  listen 80;\n  server_name localhost;\n  root /usr/share/nginx/html;\n  index index.html;\n}\n',
      ],
    ],
    config: {
      Cmd: ['/usr/sbin/nginx', '-g', 'daemon off;'],
      Env: [PATH],
      ExposedPorts: { '80/tcp': {} },
      StopSignal: 'SIGQUIT',
    },
  },
  k8ts: {
    names: ['docker.io/k8ts/k8ts:latest'],
    packages: ['libc6', 'libstdc++6', 'libgcc-s1', 'busybox-static'],
    folders: BASE_FOLDERS,
    links: [['bin/sh', 'busybox']],
    texts: USERS,
    self: true,
    config: {
      Entrypoint: [
        '/usr/bin/node',
        '--disable-warning=ExperimentalWarning',
        `--import=/${SELF.root}/base/preload.mjs`,
        NEW_OBJECTS.others,
      ],
      WorkingDir: `/${SELF.root}`,
      Env: [
        PATH,
        // portable: compiled in another folder than where it lies in the image
        ...Object.entries({
          NODE_COMPILE_CACHE: `/${SELF.compileCache}`,
          NODE_COMPILE_CACHE_PORTABLE: '1',
          ...MALLOC,
        }).map(([name, value]) => `${name}=${value}`),
      ],
    },
  },
};
