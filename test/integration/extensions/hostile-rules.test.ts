/** Rules that users bring along (patterns, CEL): none takes the server's time away for long, all get an answer. */
import assert from 'node:assert/strict';
import type { JsonObject } from '../../../api/types.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { extensionHooks } from '../../../apiserver/extensions/index.ts';
import { systemClock } from '../../../base/clock.ts';
import { namespaces } from '../../../client/resources.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';
import { ask, type Answer } from '../apiserver/http.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const POLICIES = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
/** As many bytes as a request may have, nearly. */
const LONG = 2_500_000;

const definition = (name: string, properties: JsonObject): JsonObject => ({
  metadata: { name: `${name}s.hostile.example.com` },
  spec: {
    group: 'hostile.example.com',
    scope: 'Namespaced',
    names: { plural: `${name}s`, singular: name, kind: name[0]!.toUpperCase() + name.slice(1) },
    versions: [
      { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties } } },
    ],
  },
});

describe('hostile rules', function () {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      hooks: [...bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }), ...extensionHooks()],
    });
    await server.client.create(namespaces, { metadata: { name: 'rules' } });
  });
  after(() => server.stop());

  const post = (path: string, body: JsonObject) => ask(server, { path, body });
  const said = (a: Answer) => `${a.code} ${a.body.toString().slice(0, 600)}`;

  async function define(name: string, properties: JsonObject): Promise<(object: JsonObject) => Promise<Answer>> {
    const made = await post(CRDS, definition(name, properties));
    assert.equal(made.code, 201, said(made));
    const path = `/apis/hostile.example.com/v1/namespaces/rules/${name}s`;
    for (const end = Date.now() + 60_000; (await ask(server, { path })).code !== 200; await systemClock.sleep(20))
      assert.ok(Date.now() < end, 'the resource is not served');
    const kind = name[0]!.toUpperCase() + name.slice(1);
    return (object) => post(path, { apiVersion: 'hostile.example.com/v1', kind, metadata: { name: 'x' }, ...object });
  }

  it('match catastrophic patterns in linear time', async () => {
    const create = await define('pattern', {
      a: { type: 'string', pattern: '^(a+)+$' },
      b: { type: 'string', pattern: '^(([a-z])+.)+[A-Z]([a-z])+$' },
      c: { type: 'string', pattern: '(x+x+)+y' },
      d: { type: 'string', 'x-kubernetes-validations': [{ rule: 'self.matches("^(a|a)*$")' }], maxLength: LONG },
    });
    const a = await create({ a: `${'a'.repeat(100_000)}b` });
    assert.equal(a.code, 422, said(a));
    const b = await create({ b: 'a'.repeat(100_000) });
    assert.equal(b.code, 422, said(b));
    const c = await create({ c: 'x'.repeat(100_000) });
    assert.equal(c.code, 422, said(c));
    const d = await create({ d: `${'a'.repeat(100_000)}b` });
    assert.equal(d.code, 422, said(d));
    const ok = await create({ a: 'aaa' });
    assert.equal(ok.code, 201, said(ok));
  });

  it('refuse patterns that would be programs of enormous size', async () => {
    for (const pattern of [
      '(a{1000}){1000}',
      '((a{100}){100}){100}',
      '(((((a{10}){10}){10}){10}){10}){10}',
      `${'('.repeat(5000)}${')'.repeat(5000)}`,
    ]) {
      const r = await post(`${CRDS}?dryRun=All`, definition('big', { a: { type: 'string', pattern } }));
      assert.equal(r.code, 422, said(r));
    }
  });

  it('refuse CEL that could cost without end', async () => {
    const list: JsonObject = { type: 'array', items: { type: 'integer' } };
    const loop = (depth: number) =>
      Array.from({ length: depth }, (_, i) => `self.l.all(v${i}, `).join('') + 'true' + ')'.repeat(depth);
    const r = await post(
      CRDS,
      definition('loop', {
        spec: { type: 'object', properties: { l: list }, 'x-kubernetes-validations': [{ rule: loop(5) }] },
      }),
    );
    assert.equal(r.code, 422, said(r));
    assert.match(r.body.toString(), /exceeds budget/);
  });

  it('stop CEL that does cost too much when it runs', async () => {
    const expression = `${['a', 'b', 'c', 'd', 'e'].map((v) => `object.data.all(${v}, `).join('')}a != "none"${')'.repeat(5)}`;
    const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] };
    const policy = await post(POLICIES, {
      metadata: { name: 'dear' },
      spec: { matchConstraints: { resourceRules: [rule] }, validations: [{ expression }] },
    });
    assert.equal(policy.code, 201, said(policy));
    await post('/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings', {
      metadata: { name: 'dear' },
      spec: { policyName: 'dear', validationActions: ['Deny'] },
    });
    const data = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, 'v']));
    const r = await post('/api/v1/namespaces/rules/configmaps', { metadata: { name: 'm' }, data });
    assert.equal(r.code, 422, said(r));
    assert.match(r.body.toString(), /cost budget|cost limit/i);
    await ask(server, { method: 'DELETE', path: `${POLICIES}/dear` });
  });

  it('answer expressions of any shape', async () => {
    const n = 5000;
    const shapes = [
      '('.repeat(n),
      `${'('.repeat(n)}1${')'.repeat(n)}`,
      '!'.repeat(n),
      `${'!'.repeat(n)}true`,
      `${'-'.repeat(n)}1`,
      '['.repeat(n),
      `${'[1,'.repeat(n)}`,
      `a${'.b'.repeat(n)}`,
      `a${'[0]'.repeat(n)}`,
      `1${'+1'.repeat(n)} > 0`,
      `true${' ? true : true'.repeat(n)}`,
      `${'true ? '.repeat(n)}true${' : true'.repeat(n)}`,
      `${'true && '.repeat(n)}true`,
      `${'{'.repeat(n)}`,
      `"${'\\u'.repeat(n)}"`,
      `${'"'.repeat(n)}`,
      `x${'.map(x, x'.repeat(500)}`,
      '\u0000',
      `${'9'.repeat(n)} > 0`,
      'r"""'.repeat(n),
    ];
    for (const expression of shapes) {
      const r = await post(`${POLICIES}?dryRun=All`, {
        metadata: { name: 'shape' },
        spec: {
          matchConstraints: {
            resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
          },
          validations: [{ expression }],
        },
      });
      assert.ok(r.code === 201 || r.code === 422, `${expression.slice(0, 40)}: ${said(r)}`);
      const s = await post(
        `${CRDS}?dryRun=All`,
        definition('shape', { spec: { type: 'object', 'x-kubernetes-validations': [{ rule: expression }] } }),
      );
      assert.ok(s.code === 201 || s.code === 422, `${expression.slice(0, 40)}: ${said(s)}`);
    }
  });
});
