import assert from 'node:assert/strict';
import type { ConfigMap, Container, Secret, Service } from '../../../api/types.ts';
import { containerEnv, parseEnvFile, serviceVariables, type EnvSources } from '../../../kubelet/pods/env.ts';
import { expand, expandStrict } from '../../../kubelet/pods/expansion.ts';
import { resourceField } from '../../../kubelet/pods/fields.ts';
import { pod } from './pods.ts';

const sources = (over: Partial<EnvSources> = {}): EnvSources => ({
  services: () => [],
  configMap: async () => undefined,
  secret: async () => undefined,
  podIPs: ['10.0.0.5'],
  hostIPs: ['192.0.2.1'],
  allocatable: { cpu: '2', memory: '1Gi' },
  ...over,
});
const env = async (container: Partial<Container>, over: Partial<EnvSources> = {}, spec = {}) => {
  const all = await containerEnv(pod(spec, { labels: { a: 'b' } }), { name: 'c', ...container }, sources(over));
  return Object.fromEntries([...all].map(([k, v]) => [k, v.toString()]));
};
const service: Service = {
  metadata: { name: 'my-db', namespace: 'ns' },
  spec: { clusterIP: '10.1.0.1', ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }] },
};

describe('kubelet environment', () => {
  it('replaces known names and leaves the rest', () => {
    const look = (n: string) => ({ A: 'x' })[n];
    assert.equal(expand('$(A) $$(A) $(B) $A $', look), 'x $(A) $(B) $A $');
    assert.throws(() => expandStrict('$(B)', look), /missing value for "B"/);
  });

  it('points at services', () => {
    const v = serviceVariables([service]);
    assert.equal(v['MY_DB_SERVICE_HOST'], '10.1.0.1');
    assert.equal(v['MY_DB_SERVICE_PORT_SQL'], '5432');
    assert.equal(v['MY_DB_PORT_5432_TCP'], 'tcp://10.1.0.1:5432');
    assert.deepEqual(serviceVariables([{ ...service, spec: { ...service.spec, clusterIP: 'None' } }]), {});
  });

  it('leaves out services of the namespace when links are off', async () => {
    const services = (ns: string) => (ns === 'ns' ? [service] : []);
    assert.equal((await env({}, { services }))['MY_DB_SERVICE_HOST'], '10.1.0.1');
    assert.equal((await env({}, { services }, { enableServiceLinks: false }))['MY_DB_SERVICE_HOST'], undefined);
  });

  it('takes values from fields, maps and secrets in order', async () => {
    const configMap = async (): Promise<ConfigMap> => ({ data: { k: 'from-map', other: 'o' } });
    const secret = async (): Promise<Secret> => ({ data: { pw: Buffer.from('pässword').toString('base64') } });
    const got = await env(
      {
        envFrom: [{ prefix: 'P_', configMapRef: { name: 'm' } }],
        env: [
          { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['a']" } } },
          { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          { name: 'PW', valueFrom: { secretKeyRef: { name: 's', key: 'pw' } } },
          { name: 'BOTH', value: '$(NAME)-$(P_k)-$(NONE)' },
          { name: 'P_other', value: 'own' },
        ],
      },
      { configMap, secret },
    );
    assert.deepEqual(got, {
      P_k: 'from-map',
      P_other: 'own',
      NAME: 'p',
      LABEL: 'b',
      IP: '10.0.0.5',
      PW: 'pässword',
      BOTH: 'p-from-map-$(NONE)',
    });
  });

  it('refuses what is missing unless it is optional', async () => {
    const ref = { name: 'none', key: 'k' };
    await assert.rejects(
      env({ env: [{ name: 'X', valueFrom: { configMapKeyRef: ref } }] }),
      /configmap "none" not found/,
    );
    assert.deepEqual(
      await env({ env: [{ name: 'X', valueFrom: { configMapKeyRef: { ...ref, optional: true } } }] }),
      {},
    );
    const configMap = async (): Promise<ConfigMap> => ({ data: {} });
    await assert.rejects(
      env({ env: [{ name: 'X', valueFrom: { configMapKeyRef: ref } }] }, { configMap }),
      /couldn't find key k in ConfigMap ns\/none/,
    );
  });

  it('divides resources and falls back to what the node has', () => {
    const c: Container = { name: 'c', resources: { limits: { cpu: '250m' }, requests: { memory: '32Mi' } } };
    const node = { cpu: '2', memory: '1Gi' };
    assert.equal(resourceField(pod({ containers: [c] }), c, 'limits.cpu', '1m', node), '250');
    assert.equal(resourceField(pod({ containers: [c] }), c, 'limits.cpu', undefined, node), '1');
    assert.equal(resourceField(pod({ containers: [c] }), c, 'requests.memory', '1Mi', node), '32');
    assert.equal(resourceField(pod({ containers: [c] }), c, 'limits.memory', undefined, node), '1073741824');
    const whole = pod({ containers: [c], resources: { limits: { cpu: '1250m', memory: '64Mi' } } });
    assert.equal(resourceField(whole, c, 'limits.memory', undefined, node), '67108864', 'the limit of the pod');
    assert.equal(resourceField(whole, c, 'limits.cpu', '1m', node), '250', 'its own');
  });

  it('reads environment files', () => {
    assert.deepEqual(parseEnvFile("# no\nA='x y'\n\nB=z\n"), { A: 'x y', B: 'z' });
  });
});
