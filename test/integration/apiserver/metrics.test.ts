/** What dashboards of Kubernetes ask an API server for. */
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { issue } from '../../../base/pki.ts';
import { until } from '../../support/wait.ts';
import { startTestServer, testAuthority, type TestServer } from './harness.ts';
import { ask } from './http.ts';

const MAPS = '/api/v1/namespaces/default/configmaps';
const HOOKS = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

describe('/metrics of the API server', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.stop());

  /** Values by name and labels; a label stands as `name="value"`. */
  async function scrape(): Promise<Map<string, number>> {
    const { code, body } = await ask(server, { path: '/metrics' });
    assert.equal(code, 200);
    const lines = body.toString().split('\n');
    return new Map(
      lines
        .filter((l) => l && !l.startsWith('#'))
        .map((l) => [l.slice(0, l.lastIndexOf(' ')), Number(l.slice(l.lastIndexOf(' ')))]),
    );
  }
  /** The sum of a family's values with these labels. */
  function sum(all: ReadonlyMap<string, number>, name: string, labels: Record<string, string> = {}): number {
    const wanted = Object.entries(labels).map(([k, v]) => `${k}="${v}"`);
    let out = NaN;
    for (const [key, value] of all)
      if ((key === name || key.startsWith(`${name}{`)) && wanted.every((w) => key.includes(w)))
        out = (Number.isNaN(out) ? 0 : out) + value;
    return out;
  }
  const scraped = (done: (all: Map<string, number>) => boolean) =>
    until(async () => {
      const all = await scrape();
      return done(all) && all;
    });

  it('tells of no fault in validation while all is well', async () => {
    await ask(server, { path: MAPS, body: { metadata: { name: 'Not-A-Name' } } });
    const now = await scrape();
    for (const what of ['mismatch', 'panic'])
      assert.equal(now.get(`apiserver_validation_declarative_validation_${what}_total`), 0);
  });

  it('counts writes, lists and the cache behind them', async () => {
    const before = await scrape();
    for (const name of ['a', 'b', 'c']) await ask(server, { path: MAPS, body: { metadata: { name } } });
    await ask(server, { path: `${MAPS}?limit=2` });
    const now = await scraped((all) => sum(all, 'apiserver_storage_size_bytes') >= 0);
    const grown = (name: string, labels: Record<string, string> = {}) =>
      sum(now, name, labels) - (sum(before, name, labels) || 0);
    const target = { group: '', resource: 'configmaps' };
    assert.equal(grown('apiserver_resource_objects', target), 3);
    assert.equal(grown('apiserver_watch_cache_events_received_total', target), 3);
    assert.equal(grown('apiserver_cache_list_total', target), 1);
    assert.equal(grown('apiserver_cache_list_returned_objects_total', target), 2);
    assert.ok(grown('apiserver_watch_cache_consistent_read_total', { ...target, success: 'true' }) >= 1);
    assert.ok(sum(now, 'apiserver_watch_cache_resource_version', target) > 0);
    const created = { operation: 'CREATE', rejected: 'false' };
    assert.ok(grown('apiserver_admission_step_admission_duration_seconds_count', { ...created, type: 'admit' }) >= 3);
    const plugin = { ...created, name: 'NamespaceLifecycle' };
    assert.ok(grown('apiserver_admission_controller_admission_duration_seconds_count', plugin) >= 3);
    assert.equal(grown('etcd_request_duration_seconds_count', { operation: 'create', resource: 'configmaps' }), 3);
  });

  it('tells of APIServices that nobody serves', async () => {
    const path = '/apis/apiregistration.k8s.io/v1/apiservices';
    const service = { name: 'away', namespace: 'default' };
    const spec = { group: 'away.example.com', version: 'v1', service, groupPriorityMinimum: 100, versionPriority: 10 };
    const name = 'v1.away.example.com';
    assert.equal((await ask(server, { path, body: { metadata: { name }, spec } })).code, 201);
    assert.equal(sum(await scrape(), 'aggregator_unavailable_apiservice', { name }), 1);
    await ask(server, { method: 'DELETE', path: `${path}/${name}` });
    assert.ok(Number.isNaN(sum(await scrape(), 'aggregator_unavailable_apiservice', { name })));
  });

  it('counts refusals by admission', async () => {
    await ask(server, { path: '/api/v1/namespaces/nowhere/configmaps', body: { metadata: { name: 'a' } } });
    const now = await scrape();
    const refused = { name: 'NamespaceLifecycle', operation: 'CREATE', rejected: 'true' };
    assert.equal(sum(now, 'apiserver_admission_controller_admission_duration_seconds_count', refused), 1);
  });

  it('counts the events that watchers get', async () => {
    const watched = `${MAPS}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Da`;
    assert.match((await ask(server, { path: watched })).body.toString(), /ADDED/);
    const now = await scrape();
    const target = { group: '', version: 'v1', resource: 'configmaps' };
    assert.equal(sum(now, 'apiserver_watch_events_total', target), 1);
    assert.equal(sum(now, 'apiserver_watch_events_sizes_count', target), 1);
    assert.ok(sum(now, 'apiserver_watch_events_sizes_sum', target) > 100);
  });

  it('tells how long watches took to send the list that they began with', async () => {
    const list = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const told = (await ask(server, { path: `${MAPS}?watch=true&timeoutSeconds=1&${list}` })).body.toString();
    assert.match(told, /initial-events-end/);
    const labels = { group: '', version: 'v1', resource: 'configmaps', scope: 'namespace' };
    assert.equal(sum(await scrape(), 'apiserver_watch_list_duration_seconds_count', labels), 1);
  });

  it('tells how long client certificates last, and which authorizer decided', async () => {
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    const rules = [{ nonResourceURLs: ['/metrics'], verbs: ['get'] }];
    await ask(server, { path: `${rbac}/clusterroles`, body: { metadata: { name: 'scraper' }, rules } });
    const binding = {
      metadata: { name: 'scraper' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'scraper' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'scraper' }],
    };
    await ask(server, { path: `${rbac}/clusterrolebindings`, body: binding });
    const identity = server.identity('scraper');
    await until(async () => (await ask(server, { path: '/metrics', identity })).code === 200);
    const now = await scrape();
    const decided = { decision: 'allowed', name: 'rbac', type: 'RBAC' };
    assert.ok(sum(now, 'apiserver_authorization_decisions_total', decided) >= 1);
    assert.ok(sum(now, 'apiserver_client_certificate_expiration_seconds_count') >= 1);
    assert.equal(sum(now, 'apiserver_client_certificate_expiration_seconds_bucket', { le: '0' }), 0);
  });

  it('tells for how long how much was in use', async () => {
    const level = { priority_level: 'exempt', phase: 'executing' };
    const names = [
      ['apiserver_flowcontrol_priority_level_request_utilization', level],
      ['apiserver_flowcontrol_priority_level_seat_utilization', level],
      ['apiserver_flowcontrol_read_vs_write_current_requests', { request_kind: 'readOnly', phase: 'executing' }],
    ] as const;
    const before = await scrape();
    const now = await scraped((all) =>
      names.every(([n, l]) => sum(all, `${n}_count`, l) > sum(before, `${n}_count`, l)),
    );
    // Scrapes were under way for a part of the time.
    for (const [n, l] of names) assert.ok(sum(now, `${n}_sum`, l) > 0, n);
  });

  it('counts TLS handshakes that fail', async () => {
    await new Promise<void>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => socket.write('this is no handshake\r\n\r\n'));
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.resume();
    });
    await scraped((all) => sum(all, 'apiserver_tls_handshake_errors_total') === 1);
  });

  it('counts how webhooks answer', async () => {
    const times = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
    const serving = issue(testAuthority(), {
      subject: { commonName: 'hook' },
      altNames: { ip: ['127.0.0.1'] },
      extendedUsages: ['server auth'],
      ...times,
    });
    const hook = createServer({ cert: serving.cert, key: serving.key }, (req, res) => {
      let text = '';
      req.on('data', (d: Buffer) => (text += d.toString()));
      req.on('end', () => {
        if (req.url!.startsWith('/broken')) return void res.writeHead(500).end();
        const { uid } = (JSON.parse(text) as { request: { uid: string } }).request;
        const status = { code: 409, message: 'no' };
        const response = { uid, allowed: req.url!.startsWith('/yes'), status };
        res.end(JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', response }));
      });
    });
    await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(hook.address() as AddressInfo).port}`;
    try {
      const configured = (path: string, failurePolicy: string) => ({
        name: `${path}.example.com`,
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy,
        clientConfig: { url: `${url}/${path}`, caBundle: Buffer.from(testAuthority().cert).toString('base64') },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
        objectSelector: { matchLabels: { hook: path } },
      });
      const webhooks = [configured('yes', 'Fail'), configured('no', 'Fail'), configured('broken', 'Ignore')];
      assert.equal((await ask(server, { path: HOOKS, body: { metadata: { name: 'h' }, webhooks } })).code, 201);
      const make = (label: string) =>
        ask(server, { path: MAPS, body: { metadata: { generateName: 'h-', labels: { hook: label } } } });
      assert.equal((await make('yes')).code, 201);
      assert.equal((await make('no')).code, 409);
      assert.equal((await make('broken')).code, 201);
    } finally {
      await ask(server, { method: 'DELETE', path: `${HOOKS}/h` });
      hook.close();
      hook.closeAllConnections();
    }
    const now = await scrape();
    const calls = (name: string, code: string, rejected: string) =>
      sum(now, 'apiserver_admission_webhook_request_total', { name, code, rejected, type: 'validating' });
    assert.equal(calls('yes.example.com', '200', 'false'), 1);
    assert.equal(calls('no.example.com', '409', 'true'), 1);
    assert.equal(calls('broken.example.com', '503', 'false'), 1);
    assert.equal(sum(now, 'apiserver_admission_webhook_fail_open_count', { name: 'broken.example.com' }), 1);
    const rejection = { name: 'no.example.com', error_type: 'no_error', rejection_code: '409', type: 'validating' };
    assert.equal(sum(now, 'apiserver_admission_webhook_rejection_count', rejection), 1);
    assert.equal(sum(now, 'apiserver_admission_webhook_admission_duration_seconds_count', { type: 'validating' }), 3);
  });
});
