import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { extensionHooks } from '../../../apiserver/extensions/index.ts';
import type { JsonObject, KubeObject } from '../../../api/types.ts';
import { bootstrapHooks } from '../../../apiserver/bootstrap/hooks.ts';
import { createAuthority, issue } from '../../../base/pki.ts';
import type { PatchType, WriteOptions } from '../../../client/client.ts';
import type { ResourceRef } from '../../../client/resources.ts';
import { namespaces } from '../../../client/resources.ts';
import { ask } from '../apiserver/http.ts';
import { startTestServer, type TestServer } from '../apiserver/harness.ts';

type Custom = KubeObject & { spec?: JsonObject; status?: JsonObject };
type Definition = KubeObject & {
  spec: JsonObject;
  status?: { conditions?: { type: string; status: string; reason: string }[] | null; storedVersions?: string[] };
};

const definitions: ResourceRef<Definition> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  resource: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

const ref = (group: string, plural: string, kind: string, version = 'v1'): ResourceRef<Custom> => ({
  group,
  version,
  resource: plural,
  kind,
  namespaced: true,
});

const schema = (spec: JsonObject): JsonObject => ({
  openAPIV3Schema: {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: spec },
      status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  },
});

function definition(
  group: string,
  plural: string,
  kind: string,
  versions: JsonObject[],
  more: JsonObject = {},
): Definition {
  return {
    metadata: { name: `${plural}.${group}` },
    spec: { group, scope: 'Namespaced', names: { plural, kind }, versions, ...more },
  };
}
const v1 = (spec: JsonObject, more: JsonObject = {}): JsonObject => ({
  name: 'v1',
  served: true,
  storage: true,
  schema: schema(spec),
  ...more,
});

const fails = (code: number, message: RegExp) => (error: unknown) => {
  const e = error as { code: number; message: string };
  assert.equal(e.code, code, e.message);
  assert.match(e.message, message);
  return true;
};

describe('custom resources', () => {
  let server: TestServer;
  let ns: string;

  before(async () => {
    server = await startTestServer({
      hooks: [...bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] }), ...extensionHooks()],
    });
    ns = 'cr';
    await server.client.create(namespaces, { metadata: { name: ns } });
  });
  after(() => server.stop());

  const patch = <T extends object>(
    r: ResourceRef<T>,
    name: string,
    body: unknown,
    { type, ...o }: WriteOptions & { type: PatchType },
  ) => server.client.patch(r, name, type, body, o);
  const until = async (name: string, type: string, status: string): Promise<Definition> => {
    const events = server.client.watch(definitions, { fieldSelector: `metadata.name=${name}` });
    for await (const e of events) {
      const found = (e.object as Definition).status?.conditions?.find((c) => c.type === type);
      if (found?.status === status) return e.object as Definition;
    }
    throw new Error('the watch ended');
  };
  const gone = async (name: string): Promise<void> => {
    const seen = await server.client.get(definitions, name).catch(() => undefined);
    if (!seen) return;
    for await (const e of server.client.watch(definitions, {
      fieldSelector: `metadata.name=${name}`,
      resourceVersion: seen.metadata!.resourceVersion!,
    }))
      if (e.type === 'DELETED') return;
  };
  const make = async (d: Definition): Promise<void> => {
    await server.client.create(definitions, d);
    await until(d.metadata!.name!, 'Established', 'True');
  };

  it('serves a definition as soon as it is established, in discovery and OpenAPI too', async () => {
    await make(
      definition('one.example.com', 'things', 'Thing', [v1({ a: { type: 'string' } })], {
        names: { plural: 'things', kind: 'Thing', shortNames: ['th'], categories: ['all'] },
      }),
    );
    const list = await server.client.request<JsonObject>({ path: '/apis/one.example.com/v1' });
    assert.deepEqual(
      (list['resources'] as JsonObject[]).map((r) => [r['name'], r['kind'], r['shortNames'], r['categories']]),
      [['things', 'Thing', ['th'], ['all']]],
    );
    const groups = await server.client.request<{ groups: { name: string }[] }>({ path: '/apis' });
    assert.ok(groups.groups.some((g) => g.name === 'one.example.com'));
    const document = await server.client.request<{ components: { schemas: JsonObject } }>({
      path: '/openapi/v3/apis/one.example.com/v1',
    });
    assert.ok('com.example.one.v1.Thing' in document.components.schemas);
  });

  it('prunes, defaults and validates', async () => {
    const things = ref('two.example.com', 'gadgets', 'Gadget');
    await make(
      definition('two.example.com', 'gadgets', 'Gadget', [
        v1({ size: { type: 'integer', maximum: 10, default: 3 }, color: { type: 'string', enum: ['red', 'blue'] } }),
      ]),
    );
    const made = await server.client.create(things, {
      metadata: { name: 'a', namespace: ns },
      spec: { color: 'red', bogus: 1 },
    });
    assert.deepEqual(made.spec, { color: 'red', size: 3 });
    assert.equal(made.metadata!.generation, 1);
    await assert.rejects(
      server.client.create(things, { metadata: { name: 'b', namespace: ns }, spec: { color: 'green', size: 11 } }),
      fails(422, /spec\.size.*spec\.color|spec\.color.*spec\.size/),
    );
    await assert.rejects(
      patch(things, 'a', { spec: { size: 'x' } }, { namespace: ns, type: 'merge' }),
      fails(422, /spec\.size/),
    );
  });

  it('keeps 64-bit integers exact, in every answer', async () => {
    await make(definition('big.example.com', 'numbers', 'Number', [v1({ n: { type: 'integer', format: 'int64' } })]));
    const path = `/apis/big.example.com/v1/namespaces/${ns}/numbers`;
    const made = await ask(server, {
      method: 'POST',
      path,
      body: '{"apiVersion":"big.example.com/v1","kind":"Number","metadata":{"name":"a"},"spec":{"n":9223372036854775807}}',
    });
    assert.equal(made.code, 201, made.body.toString());
    const merge = 'application/merge-patch+json';
    const patch = { method: 'PATCH', path: `${path}/a`, type: merge, body: { metadata: { labels: { a: 'b' } } } };
    const shown = [made, await ask(server, patch)];
    const reads = ['/a', '/a?pretty=true', '', '?watch=true&timeoutSeconds=1', '?labelSelector=a%3Db'];
    for (const read of reads) shown.push(await ask(server, { path: path + read }));
    for (const answer of shown) assert.match(answer.body.toString(), /"n": ?9223372036854775807\b/);
  });

  it('gives old objects the defaults of a newer schema when they are read', async () => {
    const things = ref('three.example.com', 'widgets', 'Widget');
    const d = definition('three.example.com', 'widgets', 'Widget', [v1({ a: { type: 'string' } })]);
    await make(d);
    await server.client.create(things, { metadata: { name: 'old', namespace: ns }, spec: { a: 'x' } });
    await patch(
      definitions,
      d.metadata!.name!,
      { spec: { versions: [v1({ a: { type: 'string' }, b: { type: 'integer', default: 7 } })] } },
      { type: 'merge' },
    );
    const seen = await server.client.get(things, 'old', ns);
    assert.deepEqual(seen.spec, { a: 'x', b: 7 });
  });

  it('lets what was wrong before pass, as long as it is left alone', async () => {
    const things = ref('four.example.com', 'rats', 'Rat');
    const d = definition('four.example.com', 'rats', 'Rat', [v1({ s: { type: 'string' }, n: { type: 'integer' } })]);
    await make(d);
    await server.client.create(things, { metadata: { name: 'r', namespace: ns }, spec: { s: 'too long', n: 1 } });
    await patch(
      definitions,
      d.metadata!.name!,
      { spec: { versions: [v1({ s: { type: 'string', maxLength: 3 }, n: { type: 'integer', maximum: 5 } })] } },
      { type: 'merge' },
    );
    const changed = await patch(things, 'r', { spec: { n: 2 } }, { namespace: ns, type: 'merge' });
    assert.equal(changed.spec!['n'], 2);
    await assert.rejects(
      patch(things, 'r', { spec: { s: 'also long' } }, { namespace: ns, type: 'merge' }),
      fails(422, /spec\.s/),
    );
  });

  it('keeps spec and status apart, and counts generations', async () => {
    const things = ref('five.example.com', 'parts', 'Part');
    await make(
      definition('five.example.com', 'parts', 'Part', [
        v1(
          { n: { type: 'integer' } },
          { subresources: { status: {}, scale: { specReplicasPath: '.spec.n', statusReplicasPath: '.status.n' } } },
        ),
      ]),
    );
    const made = await server.client.create(things, {
      metadata: { name: 'p', namespace: ns },
      spec: { n: 1 },
      status: { x: 1 },
    });
    assert.equal(made.status, undefined);
    const told = await patch(
      things,
      'p',
      { status: { n: 4 }, spec: { n: 9 } },
      { namespace: ns, type: 'merge', subresource: 'status' },
    );
    assert.deepEqual([told.spec, told.status, told.metadata!.generation], [{ n: 1 }, { n: 4 }, 1]);
    const scaled = await server.client.request<{ spec: JsonObject; status: JsonObject }>({
      method: 'PATCH',
      path: `/apis/five.example.com/v1/namespaces/${ns}/parts/p/scale`,
      body: { spec: { replicas: 5 } },
      contentType: 'application/merge-patch+json',
    });
    assert.deepEqual([scaled.spec, scaled.status], [{ replicas: 5 }, { replicas: 4 }]);
    assert.equal((await server.client.get(things, 'p', ns)).metadata!.generation, 2);
    await server.client.create(things, { metadata: { name: 'q', namespace: ns } });
    const unsaid = server.client.request({
      method: 'PATCH',
      path: `/apis/five.example.com/v1/namespaces/${ns}/parts/q/scale`,
      body: { metadata: { labels: { a: 'b' } } },
      contentType: 'application/merge-patch+json',
    });
    await assert.rejects(unsaid, /the spec replicas field ".spec.n" cannot be empty/);
  });

  it('runs validation rules, comparing with the old object', async () => {
    const things = ref('six.example.com', 'rules', 'Rule');
    await make(
      definition('six.example.com', 'rules', 'Rule', [
        v1({
          low: { type: 'integer' },
          high: { type: 'integer' },
          fixed: {
            type: 'string',
            maxLength: 20,
            'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'may not change' }],
          },
        }),
      ]),
    );
    await patch(
      definitions,
      'rules.six.example.com',
      [
        {
          op: 'add',
          path: '/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations',
          value: [
            {
              rule: 'self.low <= self.high',
              messageExpression: '"wrong for " + self.fixed',
              reason: 'FieldValueForbidden',
              fieldPath: '.low',
            },
          ],
        },
      ],
      { type: 'json' },
    );
    await server.client.create(things, {
      metadata: { name: 'r', namespace: ns },
      spec: { low: 1, high: 2, fixed: 'a' },
    });
    await assert.rejects(
      server.client.create(things, { metadata: { name: 'q', namespace: ns }, spec: { low: 5, high: 2, fixed: 'a' } }),
      fails(422, /spec\.low: Forbidden: wrong for a/),
    );
    await assert.rejects(
      patch(things, 'r', { spec: { fixed: 'b' } }, { namespace: ns, type: 'merge' }),
      fails(422, /spec\.fixed.*may not change/),
    );
  });

  it('refuses names that another definition of the group has', async () => {
    await make(definition('seven.example.com', 'cats', 'Cat', [v1({})]));
    await server.client.create(definitions, definition('seven.example.com', 'dogs', 'Cat', [v1({})]));
    const refused = await until('dogs.seven.example.com', 'NamesAccepted', 'False');
    assert.equal(refused.status!.conditions!.find((c) => c.type === 'Established')!.status, 'False');
    // The name becomes free with the other definition.
    await server.client.delete(definitions, 'cats.seven.example.com');
    await until('dogs.seven.example.com', 'Established', 'True');
  });

  it('deletes the instances first, and ends their watches', async () => {
    const things = ref('eight.example.com', 'toys', 'Toy');
    await make(definition('eight.example.com', 'toys', 'Toy', [v1({})]));
    const held = await server.client.create(things, {
      metadata: { name: 'held', namespace: ns, finalizers: ['test.example.com/hold'] },
      spec: {},
    });
    await server.client.create(things, { metadata: { name: 'free', namespace: ns }, spec: {} });
    await server.client.delete(definitions, 'toys.eight.example.com');
    const ending = await until('toys.eight.example.com', 'Terminating', 'True');
    assert.deepEqual(ending.metadata!.finalizers, ['customresourcecleanup.apiextensions.k8s.io']);
    await assert.rejects(
      server.client.create(things, { metadata: { name: 'late', namespace: ns }, spec: {} }),
      fails(403, /terminating/),
    );
    await patch(things, held.metadata!.name!, { metadata: { finalizers: null } }, { namespace: ns, type: 'merge' });
    await gone('toys.eight.example.com');
    await assert.rejects(server.client.list(things, { namespace: ns }), fails(404, /./));
  });

  it('serves several versions of one object', async () => {
    const older = { name: 'v1', served: true, storage: false, schema: schema({ a: { type: 'string' } }) };
    const newer = {
      name: 'v2',
      served: true,
      storage: true,
      schema: schema({ a: { type: 'string' }, b: { type: 'string' } }),
    };
    await make(definition('nine.example.com', 'multis', 'Multi', [older, newer]));
    const [a, b] = [ref('nine.example.com', 'multis', 'Multi', 'v1'), ref('nine.example.com', 'multis', 'Multi', 'v2')];
    await server.client.create(b, { metadata: { name: 'm', namespace: ns }, spec: { a: '1', b: '2' } });
    const seen = await server.client.get(a, 'm', ns);
    assert.deepEqual([seen.apiVersion, seen.spec], ['nine.example.com/v1', { a: '1' }]);
    const group = await server.client.request<{ preferredVersion: { version: string } }>({
      path: '/apis/nine.example.com',
    });
    assert.equal(group.preferredVersion.version, 'v2');
  });

  describe('with a conversion webhook', () => {
    let hook: Server;
    const calls: number[] = [];
    const validity = { notBefore: Date.now() - 86_400_000, notAfter: Date.now() + 86_400_000 };
    const ca = createAuthority({ commonName: 'conversion-ca', ...validity });
    const identity = issue(ca, {
      subject: { commonName: 'conversion' },
      altNames: { ip: ['127.0.0.1'] },
      extendedUsages: ['server auth'],
      ...validity,
    });
    const [a, b] = [
      ref('ten.example.com', 'converts', 'Convert', 'v1'),
      ref('ten.example.com', 'converts', 'Convert', 'v2'),
    ];

    before(async () => {
      // v1 has `host:port`, v2 has the two apart.
      hook = createServer(identity, (req, res) => {
        let text = '';
        req.on('data', (c: Buffer) => (text += c.toString()));
        req.on('end', () => {
          const { request } = JSON.parse(text) as {
            request: { uid: string; desiredAPIVersion: string; objects: Custom[] };
          };
          calls.push(request.objects.length);
          const convertedObjects = request.objects.map((o) => {
            const spec: JsonObject = request.desiredAPIVersion.endsWith('/v1')
              ? { address: `${o.spec!['host'] as string}:${o.spec!['port'] as string}` }
              : {
                  host: (o.spec!['address'] as string).split(':')[0]!,
                  port: (o.spec!['address'] as string).split(':')[1]!,
                };
            return { ...o, apiVersion: request.desiredAPIVersion, spec };
          });
          res.end(
            JSON.stringify({
              kind: 'ConversionReview',
              apiVersion: 'apiextensions.k8s.io/v1',
              response: { uid: request.uid, result: { status: 'Success' }, convertedObjects },
            }),
          );
        });
      });
      await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
      const url = `https://127.0.0.1:${(hook.address() as AddressInfo).port}/convert`;
      await make(
        definition(
          'ten.example.com',
          'converts',
          'Convert',
          [
            {
              name: 'v1',
              served: true,
              storage: false,
              schema: schema({ address: { type: 'string', pattern: '^[a-z0-9]+:[0-9]+$' } }),
              selectableFields: [{ jsonPath: '.spec.address' }],
            },
            {
              name: 'v2',
              served: true,
              storage: true,
              schema: schema({ host: { type: 'string' }, port: { type: 'string' } }),
              selectableFields: [{ jsonPath: '.spec.host' }],
            },
          ],
          {
            conversion: {
              strategy: 'Webhook',
              webhook: {
                conversionReviewVersions: ['v1'],
                clientConfig: { url, caBundle: Buffer.from(ca.cert).toString('base64') },
              },
            },
          },
        ),
      );
    });
    after(
      () =>
        new Promise<void>((resolve) => {
          hook.closeAllConnections();
          hook.close(() => resolve());
        }),
    );

    it('converts what is written and what is read', async () => {
      const made = await server.client.create(a, {
        metadata: { name: 'x', namespace: ns },
        spec: { address: 'host:80' },
      });
      assert.deepEqual(made.spec, { address: 'host:80' });
      assert.deepEqual((await server.client.get(b, 'x', ns)).spec, { host: 'host', port: '80' });
      await assert.rejects(
        server.client.create(a, { metadata: { name: 'y', namespace: ns }, spec: { address: 'HOST' } }),
        fails(422, /spec\.address/),
      );
      const patched = await patch(a, 'x', { spec: { address: 'other:81' } }, { namespace: ns, type: 'merge' });
      assert.deepEqual(patched.spec, { address: 'other:81' });
    });

    it('asks for a whole list at once', async () => {
      for (const n of ['l1', 'l2', 'l3'])
        await server.client.create(b, { metadata: { name: n, namespace: ns }, spec: { host: n, port: '1' } });
      calls.length = 0;
      const list = await server.client.list(a, { namespace: ns });
      assert.ok(list.items.some((i) => i.spec!['address'] === 'l2:1'));
      assert.ok(calls.length <= 1, `asked ${calls.length} times`);
    });

    it('shows converted objects to watches, in order', async () => {
      const list = await server.client.list(a, { namespace: ns });
      const seen: string[] = [];
      const events = server.client.watch(a, { namespace: ns, resourceVersion: list.metadata!.resourceVersion! });
      for (const n of ['w1', 'w2'])
        await server.client.create(b, { metadata: { name: n, namespace: ns }, spec: { host: n, port: '2' } });
      for await (const e of events) {
        seen.push(`${e.type} ${(e.object as Custom).spec!['address'] as string}`);
        if (seen.length === 2) break;
      }
      assert.deepEqual(seen, ['ADDED w1:2', 'ADDED w2:2']);
    });

    it('selects by the fields of the version that is asked for', async () => {
      const fieldSelector = 'spec.address=s1:5';
      const { resourceVersion } = (await server.client.list(a, { namespace: ns })).metadata!;
      const events = server.client.watch(a, { namespace: ns, fieldSelector, resourceVersion: resourceVersion! });
      for (const n of ['s1', 's2'])
        await server.client.create(b, { metadata: { name: n, namespace: ns }, spec: { host: n, port: '5' } });
      const names = (list: { items: Custom[] }) => list.items.map((i) => i.metadata!.name);
      assert.deepEqual(names(await server.client.list(a, { namespace: ns, fieldSelector })), ['s1']);
      assert.deepEqual(names(await server.client.list(b, { namespace: ns, fieldSelector: 'spec.host=s2' })), ['s2']);
      await assert.rejects(
        server.client.list(b, { namespace: ns, fieldSelector }),
        fails(400, /field label not supported: spec\.address/),
      );
      await patch(b, 's1', { spec: { port: '6' } }, { namespace: ns, type: 'merge' });
      const seen: string[] = [];
      for await (const e of events) {
        seen.push(`${e.type} ${(e.object as Custom).spec!['address'] as string}`);
        if (seen.length === 2) break;
      }
      assert.deepEqual(seen, ['ADDED s1:5', 'DELETED s1:5']);
    });
  });
});
