/** Priority and fairness, as clients see it. */
import assert from 'node:assert/strict';
import type { Identity } from '../../../base/pki.ts';
import { eventually } from '../../support/wait.ts';
import { ask } from './http.ts';
import { startTestServer, type TestServer } from './harness.ts';

const API = '/apis/flowcontrol.apiserver.k8s.io/v1';
const BOUND_MS = 60_000;

describe('priority and fairness', function () {
  let server: TestServer;
  let user: Identity;

  const send = async (path: string, identity: Identity, method?: string, body?: unknown) => {
    const { code, headers, body: bytes } = await ask(server, { path, identity, method, body });
    return { code, headers, text: bytes.toString('utf8') };
  };
  let admin: Identity;
  const get = (path: string) => send(path, admin);
  const object = async (path: string) => JSON.parse((await get(path)).text) as { metadata: { uid: string } };

  /** What `make` gives once `check` holds. */
  const untilIs = <T>(make: () => Promise<T>, check: (value: T) => boolean): Promise<T> =>
    eventually(async () => {
      const value = await make();
      assert.ok(check(value), JSON.stringify(value));
      return value;
    });

  const schema = (name: string, level: string, who: string) => ({
    apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
    kind: 'FlowSchema',
    metadata: { name },
    spec: {
      matchingPrecedence: 50,
      priorityLevelConfiguration: { name: level },
      distinguisherMethod: { type: 'ByUser' },
      rules: [
        {
          subjects: [{ kind: 'User', user: { name: who } }],
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true }],
        },
      ],
    },
  });
  const level = (name: string, shares: number, limitResponse: object) => ({
    apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
    kind: 'PriorityLevelConfiguration',
    metadata: { name },
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: shares, borrowingLimitPercent: 0, limitResponse } },
  });
  const QUEUE = { type: 'Queue', queuing: { queues: 4, handSize: 2, queueLengthLimit: 1 } };
  const create = async (kind: string, o: unknown) => {
    const made = await send(`${API}/${kind}`, admin, 'POST', o);
    assert.equal(made.code, 201, made.text);
    return JSON.parse(made.text) as { metadata: { uid: string } };
  };

  before(async () => {
    server = await startTestServer();
    admin = server.identity('admin', 'system:masters');
    user = server.identity('ann');
  });
  after(() => server.stop());

  it('says by which schema and level a request was handled', async () => {
    const masters = await get('/api/v1/namespaces');
    const exempt = await object(`${API}/flowschemas/exempt`);
    assert.equal(masters.headers['x-kubernetes-pf-flowschema-uid'], exempt.metadata.uid);
    const plain = await send('/api/v1/namespaces', user);
    const global = await object(`${API}/prioritylevelconfigurations/global-default`);
    assert.equal(plain.code, 403);
    assert.equal(plain.headers['x-kubernetes-pf-prioritylevel-uid'], global.metadata.uid);
  });

  it('says in the status of a schema whether its level exists', async () => {
    type Schema = { status?: { conditions?: { type: string; status: string; reason: string }[] } };
    const dangling = (s: Schema) => s.status?.conditions?.find((c) => c.type === 'Dangling');
    await create('flowschemas', schema('lost', 'nowhere', 'nobody'));
    const read = () => object(`${API}/flowschemas/lost`) as Promise<Schema>;
    const lost = await untilIs(read, (s) => dangling(s)?.status === 'True');
    assert.equal(dangling(lost)?.reason, 'NotFound');
    await create('prioritylevelconfigurations', level('nowhere', 1, { type: 'Reject' }));
    await untilIs(read, (s) => dangling(s)?.status === 'False' && dangling(s)?.reason === 'Found');
  });

  it('refuses with 429 and Retry-After what a level without seats gets', async () => {
    await create('prioritylevelconfigurations', level('closed', 0, { type: 'Reject' }));
    const made = await create('flowschemas', schema('closed', 'closed', 'bob'));
    const bob = server.identity('bob');
    const refused = await untilIs(
      () => send('/api/v1/namespaces', bob),
      (a) => a.code === 429,
    );
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal(refused.headers['x-kubernetes-pf-flowschema-uid'], made.metadata.uid);
    const metrics = (await get('/metrics')).text;
    assert.match(
      metrics,
      /apiserver_flowcontrol_rejected_requests_total\{priority_level="closed",flow_schema="closed",reason="concurrency-limit"\} [1-9]/,
    );
  });

  it('lets requests wait, refuses what finds its queue full, and serves them when there are seats', async () => {
    await create('prioritylevelconfigurations', level('narrow', 0, QUEUE));
    await create('flowschemas', schema('narrow', 'narrow', 'eve'));
    const eve = server.identity('eve');
    const levels = () => get('/debug/api_priority_and_fairness/dump_priority_levels');
    await untilIs(
      () => get('/metrics'),
      (a) => a.text.includes('dispatched_requests_total{priority_level="narrow",flow_schema="narrow"} 0'),
    );
    const held = [1, 2].map(() => send('/api/v1/namespaces', eve));
    await untilIs(levels, (a) => /^narrow, +2, +false, +false, +2, +0,/m.test(a.text));
    const requests = await get('/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1');
    assert.match(requests.text, /^narrow, +narrow, +\d, +0, +eve, .*eve, +list, +\/api\/v1\/namespaces/m);
    // the hand has two queues of one place each
    const third = await send('/api/v1/namespaces', eve);
    assert.equal(third.code, 429);
    const wider = await send(`${API}/prioritylevelconfigurations/narrow`, admin, 'PUT', level('narrow', 100, QUEUE));
    assert.equal(wider.code, 200, wider.text);
    for (const answer of await Promise.all(held)) assert.equal(answer.code, 403);
    await untilIs(levels, (a) => /^narrow, +0, +true, +false, +0, +0, +2, +1,/m.test(a.text));
  });

  it('goes on without the objects that every cluster has', async () => {
    const gone = await send(`${API}/flowschemas/probes`, admin, 'DELETE');
    assert.equal(gone.code, 200);
    await send(`${API}/flowschemas/catch-all`, admin, 'DELETE');
    const anyone = await send('/api/v1/namespaces', user);
    assert.equal(anyone.code, 403);
  });
});

describe('priority and fairness with a short request timeout', function () {
  it('refuses what has waited for a quarter of it', async () => {
    const server = await startTestServer({ requestTimeoutSeconds: 8 });
    try {
      const admin = server.identity('admin', 'system:masters');
      const queuing = { queues: 1, handSize: 1, queueLengthLimit: 50 };
      const spec = {
        type: 'Limited',
        limited: {
          nominalConcurrencyShares: 0,
          borrowingLimitPercent: 0,
          limitResponse: { type: 'Queue', queuing },
        },
      };
      const global = `${API}/prioritylevelconfigurations/global-default`;
      const edit = { metadata: { annotations: { 'apf.kubernetes.io/autoupdate-spec': 'false' } }, spec };
      const made = await ask(server, {
        path: global,
        identity: admin,
        method: 'PATCH',
        type: 'application/merge-patch+json',
        body: edit,
      });
      assert.equal(made.code, 200, String(made.body));
      const end = Date.now() + BOUND_MS;
      for (;;) {
        const answer = await ask(server, { path: '/api/v1/namespaces', identity: server.identity('ann') });
        if (answer.code === 429) break;
        assert.ok(Date.now() < end, `never refused: ${answer.code}`);
      }
      const metrics = await ask(server, { path: '/metrics', identity: admin });
      assert.match(
        String(metrics.body),
        /rejected_requests_total\{priority_level="global-default",.*reason="time-out"\} [1-9]/,
      );
    } finally {
      await server.stop();
    }
  });
});
