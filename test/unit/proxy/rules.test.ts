import assert from 'node:assert/strict';
import type { EndpointSlice, Service } from '../../../api/types.ts';
import { parseFlows, staleFlows } from '../../../proxy/conntrack.ts';
import { cniConfig } from '../../../proxy/network/cni.ts';
import { macOf } from '../../../proxy/network/overlay.ts';
import { egressRules, planNetwork } from '../../../proxy/network/routes.ts';
import { plainAddress, plainRange } from '../../../proxy/network/addresses.ts';
import { serviceRules, type Fragment } from '../../../proxy/rules/desired.ts';
import type { NodeView } from '../../../proxy/rules/model.ts';
import { findRefused } from '../../../proxy/rules/refused.ts';
import { RuleState } from '../../../proxy/rules/state.ts';
import { chooseBackends, servicePorts } from '../../../proxy/rules/translate.ts';

const node: NodeView = {
  name: 'n1',
  zone: 'z1',
  clusterCidr: '10.244.0.0/16',
  family: 4,
  masqueradeAll: false,
  nodePortAddresses: [],
};
const service = (spec: Record<string, unknown>, name = 'a'): Service =>
  ({
    metadata: { name, namespace: 'ns' },
    spec: { type: 'ClusterIP', clusterIP: '10.96.0.5', ports: [{ port: 80, protocol: 'TCP' }], ...spec },
  }) as Service;
interface E {
  ip: string;
  node?: string;
  ready?: boolean;
  serving?: boolean;
  terminating?: boolean;
  zones?: string[];
}
const slice = (endpoints: E[], protocol = 'TCP'): EndpointSlice =>
  ({
    metadata: { name: 's', namespace: 'ns', labels: { 'kubernetes.io/service-name': 'a' } },
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol }],
    endpoints: endpoints.map((e) => ({
      addresses: [e.ip],
      nodeName: e.node ?? 'n1',
      conditions: { ready: e.ready ?? true, serving: e.serving ?? true, terminating: e.terminating ?? false },
      hints: e.zones ? { forZones: e.zones.map((name) => ({ name })) } : undefined,
    })),
  }) as EndpointSlice;
const ports = (spec: Record<string, unknown>, endpoints: E[], protocol?: string) =>
  servicePorts(service(spec), [slice(endpoints, protocol)], 4);
const rules = (spec: Record<string, unknown>, endpoints: E[]) => serviceRules(ports(spec, endpoints), node);
const element = (d: Fragment, set: string, key: string) => d.elements.find((e) => e[0] === set && e[1] === key)?.[2];

describe('service rules', () => {
  it('lead from the cluster address to a spread over the backends', () => {
    const d = rules({}, [{ ip: '10.244.0.2' }, { ip: '10.244.1.2', node: 'n2' }]);
    assert.equal(element(d, 'service-ips', '10.96.0.5 . tcp . 80'), 'goto masquerade-2');
    assert.equal(element(d, 'endpoints', '10.96.0.5 . tcp . 80 . 0'), '10.244.0.2 . 8080');
    assert.equal(element(d, 'endpoints', '10.96.0.5 . tcp . 80 . 1'), '10.244.1.2 . 8080');
    assert.equal(d.chains.size, 0, 'no chain of its own');
  });
  it('reject what has no backend', () => {
    const d = rules({}, []);
    assert.equal(element(d, 'service-ips', '10.96.0.5 . tcp . 80'), undefined);
    assert.equal(element(d, 'no-endpoint-services', '10.96.0.5 . tcp . 80'), 'goto reject-chain');
  });
  it('drop under a local policy when only others have backends', () => {
    const d = rules({ internalTrafficPolicy: 'Local' }, [{ ip: '10.244.1.2', node: 'n2' }]);
    assert.equal(element(d, 'no-endpoint-services', '10.96.0.5 . tcp . 80'), 'drop');
  });
  it('remember clients per backend with session affinity', () => {
    const d = rules({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }, [
      { ip: '10.244.0.2' },
      { ip: '10.244.0.3' },
    ]);
    assert.deepEqual([...d.affinitySets.values()], [60, 60]);
  });
  it('serve node ports, and only the local backends for outside traffic under externalTrafficPolicy Local', () => {
    const d = rules({ type: 'NodePort', externalTrafficPolicy: 'Local', ports: [{ port: 80, nodePort: 30080 }] }, [
      { ip: '10.244.0.2' },
      { ip: '10.244.1.2', node: 'n2' },
    ]);
    const entry = d.chains.get(element(d, 'service-nodeports', 'tcp . 30080')!.replace('goto ', ''))!;
    const local = d.chains.get(entry.at(-1)!.replace('goto ', ''))!;
    assert.equal(local[0], 'meta l4proto tcp dnat ip to 10.244.0.2:8080');
  });
  it('use terminating backends only when nothing else is left', () => {
    const [p] = ports({}, [
      { ip: '10.244.0.2', ready: false, terminating: true },
      { ip: '10.244.0.3', ready: false, serving: false, terminating: true },
    ]);
    assert.deepEqual(
      chooseBackends(p!, 'n1', '').cluster.map((b) => b.ip),
      ['10.244.0.2'],
    );
    const [q] = ports({}, [{ ip: '10.244.0.2', ready: false, terminating: true }, { ip: '10.244.0.4' }]);
    assert.deepEqual(
      chooseBackends(q!, 'n1', '').cluster.map((b) => b.ip),
      ['10.244.0.4'],
    );
  });
  it('keep to the zone when every backend has a hint', () => {
    const hinted = [
      { ip: '10.244.0.2', zones: ['z1'] },
      { ip: '10.244.0.3', zones: ['z2'] },
    ];
    const [p] = ports({}, hinted);
    assert.deepEqual(
      chooseBackends(p!, 'n1', 'z1').cluster.map((b) => b.ip),
      ['10.244.0.2'],
    );
    const [q] = ports({}, [...hinted, { ip: '10.244.0.4' }]);
    assert.equal(chooseBackends(q!, 'n1', 'z1').cluster.length, 3);
  });
  it('skip ExternalName and headless Services', () => {
    assert.deepEqual(ports({ type: 'ExternalName' }, []), []);
    assert.deepEqual(ports({ clusterIP: 'None' }, [{ ip: '10.244.0.2' }]), []);
  });
  it('take no ranges that overlap', () => {
    const d = rules({ type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8', '10.1.0.0/16'] }, [
      { ip: '10.244.0.2' },
    ]);
    assert.equal(element(d, 'service-ips', '10.9.9.9 . tcp . 80'), undefined);
    const p = { ...ports({ type: 'LoadBalancer' }, [{ ip: '10.244.0.2' }])[0]! };
    const fw = serviceRules(
      [{ ...p, loadBalancerIPs: ['10.9.9.9'], sourceRanges: ['10.0.0.0/8', '10.1.0.0/16'] }],
      node,
    );
    const chain = fw.chains.get(element(fw, 'service-ips', '10.9.9.9 . tcp . 80')!.replace('goto ', ''))!;
    assert.match(chain[0]!, /^ip saddr \{ 10\.0\.0\.0\/8 \} goto/);
  });
});

describe('the rules of all services', () => {
  const state = () => new RuleState(node);
  const one = () => rules({}, [{ ip: '10.244.0.2' }]);
  it('begin with a table of their own', () => {
    const s = state();
    s.replace('ns/a', one());
    assert.match(s.take(), /^add table ip k8ts-proxy\ndelete table ip k8ts-proxy\nadd table/);
    assert.equal(s.take(), '');
  });
  it('change only where they differ, and lead back to where they came from', () => {
    const s = state();
    s.replace('ns/a', one());
    s.take();
    s.replace('ns/a', one());
    assert.equal(s.take(), '');
    s.replace('ns/a', rules({}, [{ ip: '10.244.0.2' }, { ip: '10.244.0.3' }]));
    const text = s.take();
    assert.match(
      text,
      /add element ip k8ts-proxy endpoints \{ 10\.96\.0\.5 \. tcp \. 80 \. 1 : 10\.244\.0\.3 \. 8080 \}/,
    );
    assert.doesNotMatch(text, /10\.244\.0\.2/);
    s.replace('ns/a', undefined);
    const removal = s.take();
    assert.match(removal, /delete element ip k8ts-proxy service-ips \{ 10\.96\.0\.5 \. tcp \. 80 \}/);
    assert.match(removal, /delete element ip k8ts-proxy endpoints/);
  });
  it('share addresses: the first service has one, the next gets it after', () => {
    const s = state();
    const external = (name: string, ip: string) =>
      serviceRules(
        servicePorts(
          service({ clusterIP: ip, externalIPs: ['192.0.2.1'] }, name),
          [slice([{ ip: '10.244.0.2' }])],
          4,
        ).map((p) => ({
          ...p,
          backends: ports({}, [{ ip: '10.244.0.2' }])[0]!.backends,
        })),
        node,
      );
    s.replace('ns/a', external('a', '10.96.0.5'));
    s.replace('ns/b', external('b', '10.96.0.6'));
    assert.match(s.take(), /192\.0\.2\.1 \. tcp \. 80 : goto ext-\w+-ns\/a\//);
    s.replace('ns/a', undefined);
    const text = s.take();
    assert.match(text, /delete element ip k8ts-proxy service-ips \{[^}]*192\.0\.2\.1 \. tcp \. 80/);
    assert.match(text, /add element ip k8ts-proxy service-ips \{ 192\.0\.2\.1 \. tcp \. 80 : goto ext-\w+-ns\/b\//);
    // the backend is one for both: it stays
    assert.doesNotMatch(text, /hairpin/);
  });
});

describe('connections to be forgotten', () => {
  const spec = { ports: [{ port: 53, protocol: 'UDP', nodePort: 30053 }] };
  const udp = (...ips: string[]) =>
    ports(
      spec,
      ips.map((ip) => ({ ip })),
      'UDP',
    );
  const flows = parseFlows(
    [
      'udp 17 29 src=10.244.0.9 dst=10.96.0.5 sport=1 dport=53 src=10.244.0.2 dst=10.244.0.9 sport=8080 dport=1 [ASSURED] mark=0 use=1',
      'udp 17 29 src=10.244.0.9 dst=10.96.0.5 sport=2 dport=53 src=10.244.0.3 dst=10.244.0.9 sport=8080 dport=2 mark=0 use=1',
      'udp 17 29 src=10.244.0.9 dst=10.96.0.5 sport=3 dport=53 [UNREPLIED] src=10.96.0.5 dst=10.244.0.9 sport=53 dport=3 use=1',
      'udp 17 29 src=192.0.2.1 dst=10.0.0.1 sport=4 dport=30053 src=10.244.0.2 dst=10.0.0.1 sport=9090 dport=4 use=1',
      'udp 17 29 src=192.0.2.1 dst=198.51.100.1 sport=4 dport=30053 src=198.51.100.1 dst=192.0.2.1 sport=30053 dport=4 use=1',
      'conntrack v1.4.7 (conntrack-tools): 5 flow entries have been shown.',
    ].join('\n'),
  );
  const stale = (...ips: string[]) => staleFlows(flows, udp(...ips)).map((f) => `${f.dst}:${f.dport} ${f.replySrc}`);
  it('are those whose backend has left, and those from before there was any', () =>
    assert.deepEqual(stale('10.244.0.3'), [
      '10.96.0.5:53 10.244.0.2',
      '10.96.0.5:53 10.96.0.5',
      '10.0.0.1:30053 10.244.0.2',
    ]));
  it('are not those that lead right; another port is another backend', () =>
    assert.deepEqual(stale('10.244.0.2', '10.244.0.3'), ['10.96.0.5:53 10.96.0.5', '10.0.0.1:30053 10.244.0.2']));
  it('are all that were led anywhere when no backend is left', () =>
    assert.deepEqual(stale(), ['10.96.0.5:53 10.244.0.2', '10.96.0.5:53 10.244.0.3', '10.0.0.1:30053 10.244.0.2']));
});

describe('the pod network', () => {
  const n = (name: string, cidr: string, ip: string) => ({
    metadata: { name },
    spec: { podCIDR: cidr },
    status: { addresses: [{ type: 'InternalIP', address: ip }] },
  });
  it('has a route to every other node', () => {
    const list = [n('n1', '10.244.0.0/24', '10.0.0.1'), n('n2', '10.244.1.0/24', '10.0.0.2')];
    const plan = (self: string | undefined, near: boolean) => planNetwork(list, self, 'auto', () => near);
    assert.deepEqual(plan('n1', true), { routes: [{ cidr: '10.244.1.0/24', via: '10.0.0.2' }], peers: [] });
    assert.equal(plan(undefined, true).routes.length, 2);
    // another segment: through the overlay, to an end that the node's address leads to
    const far = plan('n1', false);
    assert.deepEqual(far.routes, [{ cidr: '10.244.1.0/24', via: '10.244.1.0', dev: 'k8ts.vxlan' }]);
    assert.deepEqual(far.peers, [{ mac: macOf('10.0.0.2'), under: '10.0.0.2', ends: ['10.244.1.0'] }]);
    assert.match(macOf('10.0.0.2'), /^0a(:[0-9a-f]{2}){5}$/);
  });
  it('hides pods behind the node only outside of the cluster', () => {
    assert.match(
      egressRules(['10.244.0.0/24'], ['10.244.0.0/16'], ['10.0.0.1']),
      /saddr \{ 10\.244\.0\.0\/24 \} ip daddr != \{ 10\.244\.0\.0\/16, 10\.0\.0\.1 \}/,
    );
  });
  it('is described to the runtime', () => {
    const config = JSON.parse(cniConfig({ podCidrs: ['10.244.0.0/24'], dataDir: '/d', bandwidth: false })) as {
      plugins: { type: string; ipam?: { ranges: unknown } }[];
    };
    assert.deepEqual(config.plugins[0]!.ipam!.ranges, [[{ subnet: '10.244.0.0/24' }]]);
    assert.deepEqual(
      config.plugins.map((p) => p.type),
      ['bridge', 'portmap'],
    );
  });
});

describe('what can not be served', () => {
  it('is found one by one, and only where nothing else is at fault', async () => {
    const bad = new Set([3, 17]);
    let looks = 0;
    const accepts = async (list: readonly number[]) => (looks++, !list.some((n) => bad.has(n)));
    const items = Array.from({ length: 100 }, (_, i) => i);
    assert.deepEqual(await findRefused(items, accepts), [3, 17]);
    assert.ok(looks < 40, `${looks} looks`);
    assert.deepEqual(await findRefused([1, 2], accepts), []);
    assert.deepEqual(await findRefused(items, async () => false), []);
    // two that only quarrel with each other
    assert.deepEqual(await findRefused([1, 2], async (list) => list.length < 2), []);
  });
  it('is left out of a Service whose other parts are served', () => {
    const [port] = ports({ externalIPs: ['010.1.002.3', 'nonsense'], loadBalancerSourceRanges: ['010.0.0.0/8'] }, [
      { ip: '10.244.0.2' },
      { ip: 'fd00::2' },
      { ip: '' },
    ]);
    assert.deepEqual(port!.externalIPs, ['10.1.2.3']);
    assert.deepEqual(port!.sourceRanges, ['10.0.0.0/8']);
    assert.deepEqual(
      port!.backends.map((b) => b.ip),
      ['10.244.0.2'],
    );
    assert.deepEqual(ports({ ports: [{ port: 70000 }] }, []), []);
    assert.throws(() => ports({ loadBalancerSourceRanges: ['10.0.0.0'] }, []), /is no range/);
  });
  it('are addresses and ranges in forms that only Kubernetes knows', () => {
    const addresses = [
      '10.0.0.1',
      '010.000.0.1',
      '::ffff:10.0.0.1',
      'fd00::1',
      '10.0.0.256',
      '10.0.0',
      'fe80::1%eth0',
      '',
    ];
    assert.deepEqual(addresses.map(plainAddress), [
      '10.0.0.1',
      '10.0.0.1',
      '10.0.0.1',
      'fd00::1',
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    const ranges = ['010.0.0.0/8', ' fd00::/64 ', '10.0.0.0/33', '10.0.0.0', 'fd00::/129', '10.0.0.0/8/8', 'x/1'];
    assert.deepEqual(ranges.map(plainRange), [
      '10.0.0.0/8',
      'fd00::/64',
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
