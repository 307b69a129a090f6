import assert from 'node:assert/strict';
import https from 'node:https';
import type { JsonObject } from '../../../api/types.ts';
import { createAuditor, type Auditor } from '../../../apiserver/audit/auditor.ts';
import type { AuditEvent } from '../../../apiserver/audit/event.ts';
import { parsePolicy } from '../../../apiserver/audit/policy.ts';
import { systemClock } from '../../../base/clock.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { ask } from '../apiserver/http.ts';

const POLICY = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, users: [silent]}
- level: RequestResponse
  resources: [{resources: [configmaps]}]
- level: Request
  resources: [{group: apps}]
  omitStages: [RequestReceived]
- level: Metadata
`;
const MAPS = '/api/v1/namespaces/default/configmaps';

describe('audit', () => {
  let server: TestServer;
  let auditor: Auditor;
  let events: AuditEvent[] = [];
  let told: (() => void) | undefined;

  before(async () => {
    auditor = createAuditor({
      clock: systemClock,
      policy: parsePolicy(POLICY),
      backends: [
        {
          take(event, json) {
            if (event.user.username === 'unheard' && event.stage === 'RequestReceived')
              return Promise.reject(new Error('no room'));
            events.push(JSON.parse(json) as AuditEvent);
            told?.();
            return undefined;
          },
          close: async () => {},
        },
      ],
    });
    server = await startTestServer({ audit: auditor });
  });
  after(async () => {
    await server.stop();
    await auditor.close();
  });
  beforeEach(() => (events = []));

  /** The events of requests so far, once one of this stage is there. */
  async function until(stage: string): Promise<AuditEvent[]> {
    while (!events.some((e) => e.stage === stage)) await new Promise<void>((resolve) => (told = resolve));
    return events;
  }
  async function audited(...args: Parameters<typeof ask> extends [unknown, ...infer R] ? R : never) {
    events = [];
    const answer = await ask(server, ...args);
    // Events of others (the server's own, an earlier request's last) may come in between.
    const mine = () => events.filter((e) => e.auditID === answer.headers['audit-id']);
    while (mine().at(-1)?.stage !== 'ResponseComplete') await new Promise<void>((resolve) => (told = resolve));
    const seen = mine();
    return { answer, seen, last: seen.at(-1)! };
  }

  it('notes a request and its answer', async () => {
    const body = { metadata: { name: 'a' }, data: { k: 'v' } };
    const { answer, seen, last } = await audited({ path: MAPS, body, headers: { 'user-agent': 'me/1' } });
    assert.deepEqual(
      seen.map((e) => e.stage),
      ['RequestReceived', 'ResponseComplete'],
    );
    assert.equal(seen[0]!.responseStatus, undefined);
    const { requestReceivedTimestamp, stageTimestamp, responseObject, user, ...rest } = last;
    assert.deepEqual(rest, {
      level: 'RequestResponse',
      auditID: answer.headers['audit-id'],
      stage: 'ResponseComplete',
      requestURI: MAPS,
      verb: 'create',
      sourceIPs: ['127.0.0.1'],
      userAgent: 'me/1',
      objectRef: { resource: 'configmaps', namespace: 'default', name: 'a', apiVersion: 'v1' },
      responseStatus: { metadata: {}, code: 201 },
      requestObject: body,
      annotations: { 'authorization.k8s.io/decision': 'allow', 'authorization.k8s.io/reason': '' },
    });
    assert.deepEqual([user['username'], user['groups']], ['admin', ['system:masters', 'system:authenticated']]);
    assert.match(requestReceivedTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.ok(stageTimestamp >= requestReceivedTimestamp);
    const shown = responseObject as JsonObject;
    assert.deepEqual([shown['kind'], shown['data']], ['ConfigMap', { k: 'v' }]);
    assert.equal((shown['metadata'] as JsonObject)['managedFields'], undefined);
  });

  it('reads patches and lists, and objects in protobuf and YAML', async () => {
    await ask(server, { path: MAPS, body: { metadata: { name: 'p' } } });
    const patch = {
      method: 'PATCH',
      path: `${MAPS}/p`,
      type: 'application/merge-patch+json',
      body: { data: { x: '1' } },
    };
    assert.deepEqual((await audited(patch)).last.requestObject, { data: { x: '1' } });
    const list = await audited({ path: MAPS, headers: { accept: 'application/vnd.kubernetes.protobuf' } });
    const shown = list.last.responseObject as JsonObject | undefined;
    assert.equal(shown?.['kind'], 'ConfigMapList');
    const yaml = await audited({
      method: 'POST',
      path: MAPS,
      type: 'application/yaml',
      body: 'metadata:\n  name: why\n',
    });
    assert.deepEqual(yaml.last.requestObject, { metadata: { name: 'why' } });
  });

  it('keeps to the level of the rule and leaves out stages', async () => {
    const metadata = await audited({ path: '/api/v1/namespaces', body: { metadata: { name: 'nn' } } });
    assert.deepEqual([metadata.last.level, metadata.last.requestObject], ['Metadata', undefined]);
    assert.equal(metadata.last.objectRef!['name'], 'nn');
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const d = { metadata: { name: 'd' }, spec: { selector: { matchLabels: { a: 'b' } }, template } };
    const request = await audited({ path: '/apis/apps/v1/namespaces/default/deployments', body: d });
    assert.deepEqual(
      request.seen.map((e) => e.stage),
      ['ResponseComplete'],
    );
    assert.deepEqual([request.last.requestObject, request.last.responseObject], [d, undefined]);
  });

  it('says nothing where the policy says None', async () => {
    events = [];
    const silent = await ask(server, { path: MAPS, identity: server.identity('silent') });
    const id = silent.headers['audit-id'];
    await ask(server, { path: '/version' });
    const version = (await until('ResponseComplete')).find((e) => e.requestURI === '/version');
    assert.deepEqual([version!.auditID === id, version!.objectRef], [false, undefined]);
    assert.ok(id !== undefined && !events.some((e) => e.auditID === id));
  });

  it('tells of what was refused, and by whom', async () => {
    const missing = await audited({ path: '/api/v1/namespaces/default/secrets/none' });
    assert.deepEqual([missing.last.responseStatus!['code'], missing.last.responseStatus!['reason']], [404, 'NotFound']);
    const forbidden = await audited({ path: '/api/v1/secrets', identity: server.identity('eve') });
    assert.equal(forbidden.last.responseStatus!['code'], 403);
    assert.equal(forbidden.last.annotations!['authorization.k8s.io/decision'], 'forbid');
    events = [];
    await ask(server, { path: MAPS, identity: null, headers: { authorization: 'Bearer wrong' } });
    const [refused, ...more] = events;
    assert.equal(more.length, 0);
    assert.deepEqual([refused!.stage, refused!.responseStatus!['code']], ['ResponseStarted', 401]);
    assert.deepEqual([refused!.responseStatus!['message'], refused!.user], ['Unauthorized', {}]);
  });

  it('tells what a deletion answered', async () => {
    await ask(server, { path: '/api/v1/namespaces/default/secrets', body: { metadata: { name: 'gone' } } });
    for (const accept of ['application/json', 'application/vnd.kubernetes.protobuf', 'application/yaml']) {
      await ask(server, { path: '/api/v1/namespaces/default/secrets', body: { metadata: { name: 'gone' } } });
      const { last } = await audited({
        method: 'DELETE',
        path: '/api/v1/namespaces/default/secrets/gone',
        headers: { accept },
      });
      const { status, details, code } = last.responseStatus!;
      assert.deepEqual([status, (details as JsonObject | undefined)?.['name'], code], ['Success', 'gone', 200], accept);
    }
  });

  it('names the real user and the impersonated one', async () => {
    const { last } = await audited({
      path: '/api/v1/namespaces',
      headers: { 'impersonate-user': 'bob', 'impersonate-group': 'system:masters' },
    });
    assert.equal(last.user['username'], 'admin');
    assert.equal(last.impersonatedUser!['username'], 'bob');
  });

  it('tells when a watch begins and when it is over', async () => {
    const { seen } = await audited({ path: '/api/v1/namespaces?watch=true&timeoutSeconds=1' });
    assert.deepEqual(
      seen.map((e) => [e.stage, e.verb, e.responseStatus?.['code']]),
      [
        ['RequestReceived', 'watch', undefined],
        ['ResponseStarted', 'watch', 200],
        ['ResponseComplete', 'watch', 200],
      ],
    );
    assert.deepEqual(seen[2]!.sourceIPs, ['127.0.0.1']);
  });

  it('follows upgraded connections', async () => {
    const { options } = server.client;
    const request = https.request(`${server.url}/api/v1/namespaces?watch=true`, {
      ca: server.ca,
      cert: options.cert,
      key: options.key,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.alloc(16).toString('base64'),
      },
    });
    request.once('upgrade', (_response, socket) => socket.destroy());
    request.end();
    const seen = await until('ResponseComplete');
    assert.deepEqual(
      seen.map((e) => [e.stage, e.responseStatus?.['code']]),
      [
        ['RequestReceived', undefined],
        ['ResponseStarted', 101],
        ['ResponseComplete', 101],
      ],
    );
  });

  it('notes what breaks as a panic', async () => {
    server.app.paths.exact('/broken', () => {
      throw new Error('a wheel came off');
    });
    const answer = await ask(server, { path: '/broken' });
    assert.equal(answer.code, 500);
    const seen = await until('Panic');
    assert.match(seen.at(-1)!.responseStatus!['message'] as string, /a wheel came off/);
  });

  it('carries what admission has to say', async () => {
    await ask(server, {
      path: '/api/v1/namespaces',
      body: { metadata: { name: 'ps', labels: { 'pod-security.kubernetes.io/audit': 'restricted' } } },
    });
    await ask(server, { path: '/api/v1/namespaces/ps/serviceaccounts', body: { metadata: { name: 'default' } } });
    const pod = { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const { last } = await audited({ path: '/api/v1/namespaces/ps/pods', body: pod });
    assert.match(last.annotations!['pod-security.kubernetes.io/audit-violations']!, /would violate PodSecurity/);
  });

  it('refuses requests whose event a strict backend did not take, and counts', async () => {
    const identity = server.identity('unheard');
    const answer = await ask(server, { path: '/version', identity });
    assert.deepEqual([answer.code, answer.json.reason], [500, 'InternalError']);
    const metrics = String((await ask(server, { path: '/metrics' })).body);
    assert.match(metrics, /^apiserver_audit_requests_rejected_total 1$/m);
    assert.match(metrics, /^apiserver_audit_event_total [1-9]/m);
    assert.match(metrics, /^apiserver_audit_level_total\{level="Metadata"\} [1-9]/m);
  });
});
