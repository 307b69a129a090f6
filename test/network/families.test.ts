/** A cluster of both address families, over routes or VXLAN (K8TS_E2E_NETWORK), as a user of its network sees it. */
import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { eventually, inNamespace, Kubectl } from '../e2e/cluster.ts';

const FAMILIES = [4, 6] as const;
const server = (node: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${node}, labels: { app: web } }
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: c
      image: busybox
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "mkdir /w; echo ${node} > /w/index.html; exec httpd -f -p '[::]:80' -h /w"]
      readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
`;
const service = `
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: { app: web }
  ports: [{ port: 80 }]
`;

describe('a network of both families', function () {
  this.timeout(240_000);
  let k: Kubectl;
  const words = async (object: string, path: string) => (await k.path(object, path)).split(' ').filter(Boolean);
  const ofFamily = (list: readonly string[], family: 4 | 6) => list.find((a) => isIP(a) === family) ?? '';
  const url = (address: string, port = 80) => `http://${isIP(address) === 6 ? `[${address}]` : address}:${port}/`;
  /** What a pod gets from there. */
  const ask = async (pod: string, where: string) => {
    const r = await k.try(['exec', pod, '--', 'timeout', '5', 'wget', '-q', '-O', '-', where]);
    return r.code === 0 ? r.stdout.trim() : `no answer: ${r.stderr}`;
  };
  const answers = (pod: string, where: string, what: RegExp) =>
    eventually(async () => {
      const got = await ask(pod, where);
      return what.test(got) ? undefined : `${pod} asks ${where}: ${got}`;
    });

  before(async () => {
    k = await inNamespace('families');
    await k.apply([server('node1'), server('node2'), service].join('---'));
    await k.run('wait', '--for=condition=Ready', 'pod/node1', 'pod/node2', '--timeout=180s');
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'families', '--wait=false']);
  });

  it('gives pods an address of each', async () => {
    for (const pod of ['node1', 'node2']) {
      const ips = await words(`pod ${pod}`, '{.status.podIPs[*].ip}');
      assert.deepEqual(ips.map(isIP), [4, 6]);
    }
  });

  for (const family of FAMILIES) {
    it(`leads IPv${family} from pod to pod across nodes`, async () => {
      const there = ofFamily(await words('pod node2', '{.status.podIPs[*].ip}'), family);
      await answers('node1', url(there), /^node2$/);
    });

    it(`serves a Service at its IPv${family} address and at the nodes'`, async () => {
      const ip = ofFamily(await words('service web', '{.spec.clusterIPs[*]}'), family);
      for (const pod of ['node1', 'node2']) await answers(pod, url(ip), /^node[12]$/);
      const [port] = await words('service web', '{.spec.ports[0].nodePort}');
      const addresses = await words('node node2', '{.status.addresses[?(@.type=="InternalIP")].address}');
      await answers('node1', url(ofFamily(addresses, family), Number(port)), /^node[12]$/);
    });
  }

  it('resolves a Service to both', async () => {
    const ips = await words('service web', '{.spec.clusterIPs[*]}');
    await eventually(async () => {
      const { stdout } = await k.try(['exec', 'node1', '--', 'nslookup', 'web.families.svc.cluster.local']);
      const missing = ips.filter((ip) => !stdout.includes(ip));
      return missing.length ? `${missing.join()} is not in ${stdout}` : undefined;
    });
  });
});
