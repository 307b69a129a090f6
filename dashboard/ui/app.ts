/** The page: sign-in, frame, and a view for what the address after `#` names. */
import { ApiError, get, request, session, type ResourceName } from './api.ts';
import { h, show } from './dom.ts';
import { objectView } from './views/object.ts';
import { overview } from './views/overview.ts';
import { resourceList } from './views/resources.ts';

/** What a view gets: where to draw, how long, and what is chosen. */
export interface ViewContext {
  readonly root: HTMLElement;
  /** Aborted when another view takes over. */
  readonly signal: AbortSignal;
  /** Undefined: all namespaces. */
  readonly namespace?: string;
  failed(error: unknown): void;
}

interface ApiResource {
  name: string;
  kind: string;
  namespaced: boolean;
  verbs: string[];
}

const core = (resource: string): ResourceName => ({ group: '', version: 'v1', resource });
const of = (group: string, resource: string, version = 'v1'): ResourceName => ({ group, version, resource });
const MENU: readonly [string, readonly [string, ResourceName][]][] = [
  [
    'Workloads',
    [
      ['Pods', core('pods')],
      ['Deployments', of('apps', 'deployments')],
      ['StatefulSets', of('apps', 'statefulsets')],
      ['DaemonSets', of('apps', 'daemonsets')],
      ['Jobs', of('batch', 'jobs')],
      ['CronJobs', of('batch', 'cronjobs')],
      ['Autoscalers', of('autoscaling', 'horizontalpodautoscalers', 'v2')],
    ],
  ],
  [
    'Network',
    [
      ['Services', core('services')],
      ['Ingresses', of('networking.k8s.io', 'ingresses')],
      ['Policies', of('networking.k8s.io', 'networkpolicies')],
    ],
  ],
  [
    'Configuration',
    [
      ['ConfigMaps', core('configmaps')],
      ['Secrets', core('secrets')],
      ['Volume claims', core('persistentvolumeclaims')],
      ['Volumes', core('persistentvolumes')],
    ],
  ],
  [
    'Cluster',
    [
      ['Nodes', core('nodes')],
      ['Namespaces', core('namespaces')],
      ['Events', core('events')],
    ],
  ],
];

const link = (r: ResourceName) => `#/list/${r.group || '-'}/${r.version}/${r.resource}`;
const here = () => location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
let namespace = sessionStorage.getItem('namespace') ?? '';
let view = new AbortController();

function note(error: unknown): void {
  if (error instanceof DOMException && error.name === 'AbortError') return;
  const box = h('div', { class: 'note', role: 'alert' }, error instanceof Error ? error.message : String(error));
  document.body.appendChild(box);
  setTimeout(() => box.remove(), 8000);
}

function signIn(): void {
  view.abort();
  const token = h('textarea', {
    name: 'token',
    placeholder: 'Bearer token',
    autocomplete: 'off',
  }) as HTMLTextAreaElement;
  const send = async () => {
    try {
      await request('/session', { method: 'POST', body: token.value.trim() });
      await start();
    } catch (error) {
      note(error);
    }
  };
  show(
    document.body,
    h(
      'div',
      { class: 'card sign-in' },
      h('h1', {}, 'Sign in to the cluster'),
      h('div', { class: 'soft' }, 'You see and change what your token may. On the server, this makes one: '),
      h('code', {}, 'k8ts dashboard'),
      token,
      h('button', { class: 'main', onclick: () => void send() }, 'Sign in'),
    ),
  );
}

async function signOut(): Promise<void> {
  await request('/session', { method: 'DELETE' }).catch(note);
  signIn();
}

async function frame(): Promise<HTMLElement> {
  const main = h('main');
  const names = await get<{ items: { metadata: { name: string } }[] }>('/api/v1/namespaces')
    .then((list) => list.items.map((n) => n.metadata.name))
    .catch(() => [] as string[]);
  if (namespace && !names.includes(namespace)) names.push(namespace);
  const choose = h(
    'select',
    {
      'aria-label': 'Namespace',
      onchange: (e) => {
        namespace = (e.target as HTMLSelectElement).value;
        sessionStorage.setItem('namespace', namespace);
        draw(main);
      },
    },
    h('option', { value: '' }, 'All namespaces'),
    names.map((n) => h('option', { value: n, selected: n === namespace }, n)),
  );
  const version = await get<{ gitVersion: string }>('/version').catch(() => ({ gitVersion: '' }));
  const nav = h(
    'nav',
    {},
    h('a', { href: '#/' }, 'Overview'),
    MENU.map(([title, items]) => [h('h4', {}, title), items.map(([label, r]) => h('a', { href: link(r) }, label))]),
    h('a', { href: '#/all' }, 'Everything else'),
  );
  show(
    document.body,
    h(
      'div',
      { class: 'frame' },
      h(
        'header',
        {},
        h('b', {}, 'k8ts'),
        h('span', { class: 'soft' }, version.gitVersion),
        h('span', { class: 'space' }),
        choose,
        h('button', { onclick: () => void signOut() }, 'Sign out'),
      ),
      nav,
      main,
    ),
  );
  return main;
}

/** Every resource that can be listed, custom ones too. */
async function everything(ctx: ViewContext): Promise<void> {
  const groups = await get<{ groups: { preferredVersion: { groupVersion: string } }[] }>('/apis');
  const versions = ['v1', ...groups.groups.map((g) => g.preferredVersion.groupVersion)];
  const lists = await Promise.all(
    versions.map(async (gv) => {
      const list = await get<{ resources: ApiResource[] }>(gv === 'v1' ? '/api/v1' : `/apis/${gv}`).catch(() => ({
        resources: [],
      }));
      return { gv, resources: list.resources.filter((r) => r.verbs.includes('list') && !r.name.includes('/')) };
    }),
  );
  if (ctx.signal.aborted) return;
  show(
    ctx.root,
    h('h1', {}, 'Everything'),
    lists.map(({ gv, resources }) => {
      const [group, version] = gv.includes('/') ? (gv.split('/') as [string, string]) : ['', gv];
      return h(
        'div',
        { class: 'card' },
        h('h2', {}, gv),
        h(
          'div',
          { class: 'row' },
          resources.map((r) => h('a', { href: link({ group, version, resource: r.name }) }, r.kind)),
        ),
      );
    }),
  );
}

function draw(main: HTMLElement): void {
  view.abort();
  view = new AbortController();
  const { signal } = view;
  const ctx: ViewContext = { root: main, signal, namespace: namespace || undefined, failed: note };
  for (const a of document.querySelectorAll('nav a'))
    a.classList.toggle('here', a.getAttribute('href') === (location.hash || '#/'));
  const [page, group = '', version = '', resource = '', ns = '', name = ''] = here();
  const r: ResourceName = { group: group === '-' ? '' : group, version, resource };
  show(main, h('p', { class: 'soft' }, 'Loading'));
  const drawn = (async () => {
    if (page === 'list') return resourceList(ctx, r);
    if (page === 'object') return objectView(ctx, r, ns === '-' ? undefined : ns, name);
    if (page === 'all') return everything(ctx);
    return overview(ctx);
  })();
  drawn.catch((error: unknown) => {
    if (!signal.aborted)
      show(main, h('p', { class: 'bad' }, error instanceof ApiError ? error.message : String(error)));
  });
}

let redraw = () => {};

async function start(): Promise<void> {
  const main = await frame();
  redraw = () => draw(main);
  redraw();
}

session.lost = signIn;
addEventListener('hashchange', () => {
  if (!location.hash.startsWith('#token=')) redraw();
});

// `k8ts dashboard` prints an address that signs in by itself; what stands behind # never leaves the browser.
const given = /^#token=(.+)$/.exec(location.hash)?.[1];
if (given) {
  history.replaceState(undefined, '', '/');
  await request('/session', { method: 'POST', body: decodeURIComponent(given) }).catch(note);
}
await get('/api')
  .then(start)
  .catch((error: unknown) => (error instanceof ApiError && error.code !== 401 ? start() : signIn()));
