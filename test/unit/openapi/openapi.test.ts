import assert from 'node:assert/strict';
import protobuf from 'protobufjs';
import { createOpenApi, type CustomKind } from '../../../api/openapi/index.ts';

interface Operation {
  operationId: string;
  parameters?: { name?: string; in?: string; $ref?: string }[];
  requestBody?: { content: Record<string, unknown> };
  'x-kubernetes-group-version-kind'?: object;
}
interface Doc {
  paths: Record<string, Record<string, Operation>>;
  parameters: Record<string, { name: string; in: string }>;
  definitions: Record<string, unknown>;
  components: { schemas: Record<string, { properties?: object }> };
}
const read = (bytes: Buffer): Doc => JSON.parse(bytes.toString('utf8')) as Doc;

/** Every $ref of a document. */
function* references(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, v] of Object.entries(value)) {
    if (key === '$ref' && typeof v === 'string') yield v;
    else yield* references(v);
  }
}
const resolves = (doc: Doc, ref: string): boolean => {
  let at: unknown = doc;
  for (const part of ref.slice(2).split('/')) at = (at as Record<string, unknown> | undefined)?.[part];
  return at !== undefined;
};

const thing: CustomKind = {
  group: 'example.com',
  version: 'v1',
  kind: 'Thing',
  listKind: 'ThingList',
  plural: 'things',
  namespaced: true,
  status: true,
  scale: true,
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          n: { type: 'integer', nullable: true },
          free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    },
  },
};

describe('OpenAPI', () => {
  const openapi = createOpenApi({ version: 'v1.36.3' });
  const deployment = '/apis/apps/v1/namespaces/{namespace}/deployments/{name}';

  it('v2: every reference resolves, every operation has a name of its own', () => {
    const doc = read(openapi.v2().bytes);
    for (const ref of new Set(references(doc))) assert.ok(resolves(doc, ref), ref);
    const ids = Object.values(doc.paths).flatMap((p) => Object.values(p).map((o) => o.operationId));
    assert.ok(ids.length > 800);
    assert.equal(new Set(ids).size, ids.length);
  });
  it('v2: a patch tells clients its kind and that dry runs and field validation work', () => {
    const doc = read(openapi.v2().bytes);
    const { patch } = doc.paths[deployment]!;
    assert.deepEqual(patch!['x-kubernetes-group-version-kind'], { group: 'apps', version: 'v1', kind: 'Deployment' });
    const names = patch!.parameters!.map((p) => p.name ?? doc.parameters[p.$ref!.slice('#/parameters/'.length)]!.name);
    assert.deepEqual([...names].sort(), [
      'body',
      'dryRun',
      'fieldManager',
      'fieldValidation',
      'force',
      'name',
      'namespace',
      'pretty',
    ]);
  });
  it('v3: every document resolves by itself and is listed with its hash', () => {
    const index = JSON.parse(openapi.v3Index().bytes.toString()) as {
      paths: Record<string, { serverRelativeURL: string }>;
    };
    assert.ok(Object.keys(index.paths).length >= 47);
    for (const [path, { serverRelativeURL }] of Object.entries(index.paths)) {
      const document = openapi.v3(path)!;
      assert.equal(serverRelativeURL, `/openapi/v3/${path}?hash=${document.hash}`);
      const doc = read(document.bytes);
      for (const ref of new Set(references(doc))) assert.ok(resolves(doc, ref), `${path}: ${ref}`);
    }
    assert.equal(openapi.v3('apis/nope/v1'), undefined);
  });
  it('v3: path parameters are in the path, all of them', () => {
    for (const path of ['api/v1', 'apis/apps/v1']) {
      for (const [url, methods] of Object.entries(read(openapi.v3(path)!.bytes).paths)) {
        const want = [...url.matchAll(/\{(\w+)\}/g)].map((m) => m[1]!).sort((a, b) => a.localeCompare(b));
        for (const op of Object.values(methods)) {
          const got = (op.parameters ?? [])
            .filter((p) => p.in === 'path')
            .map((p) => p.name!)
            .sort((a, b) => a.localeCompare(b));
          assert.deepEqual(got, want, `${op.operationId} ${url}`);
        }
      }
    }
  });
  it('takes custom resources in and lets them go', () => {
    const own = createOpenApi({ version: 'v1' });
    const before = own.v2().hash;
    const apps = own.v3('apis/apps/v1');
    own.setCustom([thing]);
    const v3 = read(own.v3('apis/example.com/v1')!.bytes);
    assert.ok(v3.paths['/apis/example.com/v1/namespaces/{namespace}/things/{name}/scale']!['patch']);
    assert.ok(v3.components.schemas['com.example.v1.Thing']);
    for (const ref of new Set(references(v3))) assert.ok(resolves(v3, ref), ref);
    const patch = v3.paths['/apis/example.com/v1/namespaces/{namespace}/things/{name}']!['patch']!;
    assert.ok(!Object.keys(patch.requestBody!.content).some((t) => t.includes('strategic')));
    const v2 = read(own.v2().bytes);
    assert.match(
      JSON.stringify(v2.definitions['com.example.v1.Thing']),
      /"n":\{\}/,
      'nullable values are not typed in v2',
    );
    for (const ref of new Set(references(v2))) assert.ok(resolves(v2, ref), ref);
    assert.equal(own.v3('apis/apps/v1'), apps, 'documents of others are kept');
    own.setCustom([]);
    assert.equal(own.v3('apis/example.com/v1'), undefined);
    assert.equal(own.v2().hash, before);
  });
  it('v2 protobuf holds the same definitions and operations', () => {
    const root = protobuf.parse(
      `syntax = "proto3";
      message Document { string swagger = 1; Paths paths = 8; Definitions definitions = 9; }
      message Paths { repeated NamedPath path = 2; }
      message NamedPath { string name = 1; PathItem value = 2; }
      message PathItem { Operation get = 2; Operation patch = 8; }
      message Operation { string operation_id = 5; repeated NamedAny vendor_extension = 13; }
      message NamedAny { string name = 1; Any value = 2; }
      message Any { string yaml = 2; }
      message Definitions { repeated NamedSchema additional_properties = 1; }
      message NamedSchema { string name = 1; Schema value = 2; }
      message Schema { string ref = 1; repeated string required = 19; Properties properties = 25; repeated NamedAny vendor_extension = 31; }
      message Properties { repeated NamedSchema additional_properties = 1; }`,
      { keepCase: true },
    ).root;
    const type = root.lookupType('Document');
    const pb = type.toObject(type.decode(openapi.v2Protobuf().bytes), { arrays: true }) as {
      swagger: string;
      paths: {
        path: {
          name: string;
          value: { patch?: { operation_id: string; vendor_extension: { name: string; value: { yaml: string } }[] } };
        }[];
      };
      definitions: {
        additional_properties: {
          name: string;
          value: {
            required: string[];
            properties?: { additional_properties: { name: string; value: { ref?: string } }[] };
          };
        }[];
      };
    };
    const doc = read(openapi.v2().bytes);
    assert.equal(pb.swagger, '2.0');
    assert.deepEqual(
      pb.paths.path.map((p) => p.name),
      Object.keys(doc.paths),
    );
    const patch = pb.paths.path.find((p) => p.name === deployment)!.value.patch!;
    assert.equal(patch.operation_id, 'patchAppsV1NamespacedDeployment');
    const kind = patch.vendor_extension.find((e) => e.name === 'x-kubernetes-group-version-kind')!;
    assert.deepEqual(JSON.parse(kind.value.yaml), { group: 'apps', version: 'v1', kind: 'Deployment' });
    assert.deepEqual(
      pb.definitions.additional_properties.map((d) => d.name),
      Object.keys(doc.definitions),
    );
    const spec = pb.definitions.additional_properties.find(
      (d) => d.name === 'io.k8s.api.apps.v1.DeploymentSpec',
    )!.value;
    assert.deepEqual(spec.required, ['selector', 'template']);
    const selector = spec.properties!.additional_properties.find((p) => p.name === 'selector')!;
    assert.equal(selector.value.ref, '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector');
  });
});
