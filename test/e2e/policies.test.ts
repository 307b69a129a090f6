/** NetworkPolicies between real pods: on one node, across nodes, behind Services, while pods and policies change. */
import assert from 'node:assert/strict';
import { eventually, inNamespace, Kubectl, nodeAddress } from './cluster.ts';

const server = (name: string, node: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: c
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "mkdir /w; echo ${name} > /w/index.html; httpd -p 8081 -h /w; exec httpd -f -p 8080 -h /w"]
      ports: [{ name: main, containerPort: 8080 }, { name: other, containerPort: 8081 }]
      readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { selector: { app: ${name} }, ports: [{ name: main, port: 80, targetPort: main }, { name: other, port: 81, targetPort: other }] }
`;
const policy = (name: string, spec: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name} }
spec: ${spec}
`;

describe('network policies', function () {
  let one: Kubectl;
  let two: Kubectl;

  const addresses = new Map<string, string>();
  /** Whether a pod gets a connection; through the Service, so after translation of its address. */
  async function reaches(k: Kubectl, from: string, to: string, port = 80): Promise<boolean> {
    const command = `nc -w 1 ${addresses.get(to)} ${port} </dev/null`;
    return (await k.try(['exec', from, '--', 'sh', '-c', command])).code === 0;
  }
  /** Waits until `cases` (from, host, port, expected) are all as said. */
  async function settle(cases: readonly (readonly [Kubectl, string, string, number, boolean])[]): Promise<void> {
    await eventually(async () => {
      const got = await Promise.all(cases.map(([k, from, host, port]) => reaches(k, from, host, port)));
      const wrong = cases.findIndex((c, i) => got[i] !== c[4]);
      const [k, from, host, port, want] = cases[wrong] ?? [one, '', '', 0, true];
      return wrong < 0 ? undefined : `${k.namespace}/${from} ${want ? 'does not reach' : 'reaches'} ${host}:${port}`;
    }, 60_000);
  }

  before(async () => {
    [one, two] = await Promise.all([inNamespace('policies-one'), inNamespace('policies-two')]);
    await one.apply(
      ['a:node1', 'b:node1', 'c:node2'].map((p) => server(...(p.split(':') as [string, string]))).join('---'),
    );
    await two.apply(server('d', 'node2'));
    await one.run('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=180s');
    await two.run('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=180s');
    for (const [k, names] of [
      [one, 'abc'],
      [two, 'd'],
    ] as const)
      for (const name of names) addresses.set(name, await k.path(`service ${name}`, '{.spec.clusterIP}'));
  });
  after(async () => {
    for (const n of ['policies-one', 'policies-two'])
      await new Kubectl('default').try(['delete', 'namespace', n, '--wait=false']);
  });

  it('deny by default, and never the node’s own probes', async () => {
    await settle([[one, 'b', 'a', 80, true]]);
    await one.apply(policy('deny', '{ podSelector: { matchLabels: { app: a } }, policyTypes: [Ingress] }'));
    await settle([
      [one, 'b', 'a', 80, false],
      [one, 'c', 'a', 80, false],
      [two, 'd', 'a', 80, false],
      [one, 'a', 'a', 80, true], // a pod always reaches itself
      [one, 'a', 'b', 80, true],
    ]);
    assert.equal(await one.path('pod a', '{.status.conditions[?(@.type=="Ready")].status}'), 'True');
  });

  it('let in what one of them names: pods, namespaces, named ports', async () => {
    await one.apply(
      policy(
        'let-in',
        `{ podSelector: { matchLabels: { app: a } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: c } } },
           { namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: policies-two } } }], ports: [{ port: main }] }] }`,
      ),
    );
    await settle([
      [one, 'c', 'a', 80, true],
      [one, 'c', 'a', 81, false],
      [two, 'd', 'a', 80, true],
      [one, 'b', 'a', 80, false],
    ]);
    // a label that comes later counts at once
    await one.run('label', 'pod', 'b', 'app=c', '--overwrite');
    await settle([[one, 'b', 'a', 80, true]]);
    await one.run('label', 'pod', 'b', 'app=b', '--overwrite');
    await settle([[one, 'b', 'a', 80, false]]);
  });

  it('hold back what leaves a pod, by address range with exceptions, and take it all back when they go', async () => {
    const ip = await one.path('pod c', '{.status.podIP}');
    await one.apply(
      policy(
        'out',
        `{ podSelector: { matchLabels: { app: b } }, policyTypes: [Egress], egress: [
           { to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [${ip}/32] } }], ports: [{ port: 8080, endPort: 8090 }] },
           { ports: [{ port: 53, protocol: UDP }] }] }`,
      ),
    );
    await settle([
      [one, 'b', 'c', 80, false],
      [one, 'b', 'd', 80, true],
      [one, 'c', 'b', 80, true],
    ]);
    await one.run('delete', 'networkpolicy', '--all');
    await settle([
      [one, 'b', 'c', 80, true],
      [one, 'b', 'a', 81, true],
    ]);
  });

  it('isolate a pod from its first moment on', async () => {
    await one.apply(policy('deny', '{ podSelector: { matchLabels: { app: late } }, policyTypes: [Egress] }'));
    const target = await one.path('pod a', '{.status.podIP}');
    const [node] = (await nodeAddress('node1')).split(' ');
    await one.apply(`
apiVersion: v1
kind: Pod
metadata: { name: late, labels: { app: late } }
spec:
  nodeName: node1
  restartPolicy: Never
  containers:
    - name: c
      image: busybox
      imagePullPolicy: IfNotPresent
      # tries at once and for some time: not one attempt may get through
      command: [sh, -c, "for i in 1 2 3; do nc -w 1 ${target} 8080 </dev/null 2>/dev/null && echo THROUGH; done; nc -w 2 ${node} 10256 </dev/null && echo NODE; true"]
`);
    await one.succeeded('late');
    assert.equal((await one.run('logs', 'late')).trim(), 'NODE');
    await one.run('delete', 'networkpolicy', '--all');
  });
});
