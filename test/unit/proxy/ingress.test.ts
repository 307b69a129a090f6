import assert from 'node:assert/strict';
import {
  buildTable,
  ownIngresses,
  plainPath,
  route,
  type Ingress,
  type IngressClass,
} from '../../../proxy/ingress/table.ts';

interface Path {
  path: string;
  type?: string;
  to: string;
}
const backend = (to: string) => ({ service: { name: to, port: { number: 80 } } });
const ingress = (name: string, rules: Record<string, Path[]>, more: object = {}): Ingress =>
  ({
    metadata: { name, namespace: 'ns', creationTimestamp: `2026-01-0${name.length}T00:00:00Z` },
    spec: {
      ingressClassName: 'k8ts',
      rules: Object.entries(rules).map(([host, paths]) => ({
        host: host || undefined,
        http: { paths: paths.map((p) => ({ path: p.path, pathType: p.type ?? 'Prefix', backend: backend(p.to) })) },
      })),
      ...more,
    },
  }) as Ingress;
const classes = [
  { metadata: { name: 'k8ts' }, spec: { controller: 'k8ts.io/ingress' } },
  { metadata: { name: 'other' }, spec: { controller: 'example.org/other' } },
] as IngressClass[];
const to = (list: Ingress[], host: string, path: string) =>
  route(buildTable(ownIngresses(list, classes)), host, path)?.service;

describe('ingress routes', () => {
  const list = [
    ingress('a', {
      'shop.example.org': [
        { path: '/', to: 'root' },
        { path: '/cart', to: 'cart' },
        { path: '/cart/', to: 'cart-slash' },
        { path: '/exact', type: 'Exact', to: 'exact' },
        { path: '/exact', to: 'prefix' },
        { path: '/free', type: 'ImplementationSpecific', to: 'free' },
      ],
      '*.example.org': [{ path: '/', to: 'wild' }],
      '': [{ path: '/any', to: 'any' }],
    }),
  ];
  const cases: [string, string, string | undefined][] = [
    ['shop.example.org', '/', 'root'],
    ['SHOP.example.org', '/x', 'root'],
    ['shop.example.org', '/cart', 'cart-slash'],
    ['shop.example.org', '/cart/1', 'cart-slash'],
    ['shop.example.org', '/cartoon', 'root'],
    ['shop.example.org', '/exact', 'exact'],
    ['shop.example.org', '/exact/more', 'prefix'],
    ['shop.example.org', '/free/1', 'free'],
    ['a.example.org', '/', 'wild'],
    ['a.b.example.org', '/any', 'any'],
    ['example.org', '/', undefined],
    ['other.test', '/any/thing', 'any'],
    ['other.test', '/', undefined],
  ];
  for (const [host, path, want] of cases) it(`${host}${path}`, () => assert.equal(to(list, host, path), want));

  it('go to the default backend when no rule matches, of their own Ingress first', () => {
    const withDefault = [
      ingress('x', {}, { defaultBackend: backend('all') }),
      ingress('yy', { h: [{ path: '/p', to: 'p' }] }, { defaultBackend: backend('h-rest') }),
    ];
    assert.equal(to(withDefault, 'nowhere', '/'), 'all');
    assert.equal(to(withDefault, 'h', '/p'), 'p');
    assert.equal(to(withDefault, 'h', '/q'), 'h-rest');
  });
  it('belong to the oldest Ingress where two want the same', () =>
    assert.equal(
      to(
        [ingress('bb', { h: [{ path: '/', to: 'young' }] }), ingress('a', { h: [{ path: '/', to: 'old' }] })],
        'h',
        '/',
      ),
      'old',
    ));
  it('are only those of the own class, or of none when the own is the default', () => {
    const foreign = ingress('a', {}, { ingressClassName: 'other' });
    const none = ingress('b', {}, { ingressClassName: undefined });
    const old = { ...none, metadata: { ...none.metadata, annotations: { 'kubernetes.io/ingress.class': 'k8ts' } } };
    assert.deepEqual(ownIngresses([foreign, none, old], classes), [old]);
    const marked = classes.map((c) => ({
      ...c,
      metadata: { ...c.metadata, annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } },
    }));
    assert.equal(ownIngresses([foreign, none, old], marked).length, 2);
  });
  it('are compared with paths as servers understand them', () => {
    assert.equal(plainPath('/a/b?x=/../'), '/a/b');
    assert.equal(plainPath('/a/../b'), '/b');
    assert.equal(plainPath('/a/%2e%2E/%2e/b/'), '/b/');
    assert.equal(plainPath('/../../x'), '/x');
    assert.equal(plainPath('/a/.hidden'), '/a/.hidden');
  });
});
