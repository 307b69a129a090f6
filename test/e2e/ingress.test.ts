/** An Ingress as a user makes one: a class by default, an address, hosts and TLS, no failed request in a rollout. */
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import { createAuthority, issue } from '../../base/pki.ts';
import { eventually, inNamespace, Kubectl, Load } from './cluster.ts';

const site = (page: string) => `
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ name: http, port: 8080, targetPort: 80 }] }
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: web }
spec:
  tls: [{ hosts: [web.test], secretName: web-cert }]
  rules:
    - host: web.test
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: web, port: { name: http } } } }] }
    - http: { paths: [{ path: /index.html, pathType: Exact, backend: { service: { name: web, port: { number: 8080 } } } }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web }, annotations: { page: "${page}" } }
    spec:
      terminationGracePeriodSeconds: 5
      containers:
        - name: c
          image: busybox
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "mkdir /w; echo ${page} > /w/index.html; exec httpd -f -p 80 -h /w"]
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
          lifecycle: { preStop: { exec: { command: [sleep, "2"] } } }
`;

describe('an Ingress', function () {
  let k: Kubectl;
  let ip = '';
  before(async () => {
    k = await inNamespace('ingressed');
    await new Kubectl('kube-system').run('rollout', 'status', 'deployment/ingress', '--timeout=180s');
    await k.apply(site('one'));
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    await eventually(async () => {
      ip = await k.path('ingress web', '{.status.loadBalancer.ingress[0].ip}');
      return ip === '' ? 'the Ingress has no address' : undefined;
    });
  });
  after(async () => {
    await new Kubectl('default').try(['delete', 'namespace', 'ingressed', '--wait=false']);
  });

  const status = (path: string, host: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      const req = http.get({ host: ip, path, headers: { Host: host }, agent: false, timeout: 5_000 }, (res) => {
        res.resume();
        resolve(res.statusCode);
      });
      req.on('timeout', () => req.destroy(new Error('no answer')));
      req.on('error', reject);
    });

  it('gets the default class and leads by host and path', async () => {
    assert.equal(await k.path('ingress web', '{.spec.ingressClassName}'), 'k8ts');
    await eventually(async () => ((await status('/', 'web.test')) === 200 ? undefined : 'no answer for the host'));
    assert.equal(await status('/index.html', 'any.test'), 200);
    assert.equal(await status('/', 'any.test'), 404);
  });

  it("serves TLS with the Secret's certificate", async () => {
    const now = Date.now();
    const validity = { notBefore: now - 3600_000, notAfter: now + 3600_000 };
    const authority = createAuthority({ commonName: 'test', ...validity });
    const id = issue(authority, { subject: { commonName: 'web.test' }, altNames: { dns: ['web.test'] }, ...validity });
    const b64 = (s: string) => Buffer.from(s).toString('base64');
    await k.apply(`
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: { name: web-cert }
data: { tls.crt: ${b64(id.cert)}, tls.key: ${b64(id.key)} }
`);
    await eventually(
      () =>
        new Promise((resolve) => {
          const o = {
            host: ip,
            servername: 'web.test',
            headers: { Host: 'web.test' },
            ca: authority.cert,
            agent: false as const,
          };
          https
            .get(o, (res) => {
              res.resume();
              resolve(res.statusCode === 200 ? undefined : `HTTP ${res.statusCode}`);
            })
            .on('error', (e) => resolve(e.message));
        }),
    );
  });

  it('fails no request while its backends are replaced', async () => {
    const load = new Load([`http://${ip}/index.html`]);
    await eventually(async () => (load.answered > 50 ? undefined : 'no load yet'));
    await k.apply(site('two'));
    await k.run('rollout', 'status', 'deployment/web', '--timeout=180s');
    await eventually(async () => (load.answers.has('two') ? undefined : 'the new page is not seen'));
    await load.stop();
    assert.deepEqual(load.failures, []);
  });
});
