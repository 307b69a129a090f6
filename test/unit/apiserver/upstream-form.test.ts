import assert from 'node:assert/strict';
import { encodeProtobuf } from '../../../api/codec/protobuf.ts';
import { upstreamForm } from '../../../apiserver/registry/upstream-form.ts';
import { allResources } from '../../../apiserver/resources/index.ts';

describe('the form in which kube-apiserver keeps objects', () => {
  const form = upstreamForm(allResources());
  const json = (key: string, stored: Buffer) => JSON.parse(form.value(key, stored).toString()) as unknown;

  for (const [own, stored] of [
    ['/pods/ns/a', '/pods/ns/a'],
    ['/nodes/a', '/minions/a'],
    ['/replicationcontrollers/ns/a', '/controllers/ns/a'],
    ['/services/specs/a', '/services/specs/specs/a'],
    ['/services/', '/services/specs/'],
    ['/endpoints/ns/a', '/services/endpoints/ns/a'],
    ['/apps/deployments/ns/a', '/deployments/ns/a'],
    ['/apps/deployments/', '/deployments/'],
    ['/networking.k8s.io/ingresses/ns/a', '/ingress/ns/a'],
    ['/events/ns/a', '/events/ns/a'],
    ['/discovery.k8s.io/endpointslices/ns/a', '/endpointslices/ns/a'],
    ['/apiregistration.k8s.io/apiservices/v1.', '/apiregistration.k8s.io/apiservices/v1.'],
    ['/apiextensions.k8s.io/customresourcedefinitions/a.b', '/apiextensions.k8s.io/customresourcedefinitions/a.b'],
    ['/example.com/deployments/ns/a', '/example.com/deployments/ns/a'],
    ['/networking.k8s.io/routes/ns/a', '/networking.k8s.io/routes/ns/a'],
    ['/masterleases/10.0.0.1', '/masterleases/10.0.0.1'],
    ['/k8ts.io/progress', '/k8ts.io/progress'],
    ['/', '/'],
  ] as const)
    it(`keeps ${own} at ${stored}`, () => {
      assert.equal(form.toStored(own), stored);
      assert.equal(form.toOwn(stored), own);
    });

  it('gives every resource keys of its own', () => {
    const all = allResources().map((d) =>
      form.toStored(d.group === '' ? `/${d.resource}/` : `/${d.group}/${d.resource}/`),
    );
    assert.equal(new Set(all).size, all.length);
  });

  it('reads protobuf, and leaves our own values as they are', () => {
    const object = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a', namespace: 'ns' }, data: { k: 'v' } };
    assert.deepEqual(json('/configmaps/ns/a', encodeProtobuf(object)), object);
    const own = Buffer.from(JSON.stringify(object));
    assert.equal(form.value('/configmaps/ns/a', own), own);
  });

  it('refuses versions that it has no rule for', () => {
    const job = { kind: 'Job', apiVersion: 'batch/v1', metadata: { name: 'a' } };
    assert.throws(() => form.value('/configmaps/ns/a', encodeProtobuf(job)), /batch\/v1 Job is not known as a form/);
  });

  it('leaves the bookkeeping of kube-apiserver alone', () => {
    const bytes = Buffer.from([0x6b, 0x38, 0x73, 0x00, 1, 2, 3]);
    assert.equal(form.value('/ranges/serviceips', bytes), bytes);
  });

  it('reads definitions of custom resources in v1beta1', () => {
    const schema = { openAPIV3Schema: { type: 'object' } };
    const stored = {
      kind: 'CustomResourceDefinition',
      apiVersion: 'apiextensions.k8s.io/v1beta1',
      metadata: { name: 'widgets.example.com' },
      spec: {
        group: 'example.com',
        version: 'v1',
        names: { plural: 'widgets', kind: 'Widget' },
        scope: 'Namespaced',
        validation: schema,
        subresources: { status: {} },
        versions: [
          { name: 'v1', served: true, storage: true },
          { name: 'v2', served: true, storage: false, schema: {} },
        ],
        additionalPrinterColumns: [{ name: 'Size', type: 'string', JSONPath: '.spec.size' }],
        conversion: {
          strategy: 'Webhook',
          webhookClientConfig: { url: 'https://example.com' },
          conversionReviewVersions: ['v1'],
        },
        preserveUnknownFields: false,
      },
      status: { storedVersions: ['v1'] },
    };
    const shared = {
      subresources: { status: {} },
      additionalPrinterColumns: [{ name: 'Size', type: 'string', jsonPath: '.spec.size' }],
    };
    assert.deepEqual(
      json(
        '/apiextensions.k8s.io/customresourcedefinitions/widgets.example.com',
        Buffer.from(`${JSON.stringify(stored)}\n`),
      ),
      {
        ...stored,
        apiVersion: 'apiextensions.k8s.io/v1',
        spec: {
          group: 'example.com',
          names: stored.spec.names,
          scope: 'Namespaced',
          versions: [
            { name: 'v1', served: true, storage: true, schema, ...shared },
            { name: 'v2', served: true, storage: false, schema: {}, ...shared },
          ],
          conversion: {
            strategy: 'Webhook',
            webhook: { clientConfig: { url: 'https://example.com' }, conversionReviewVersions: ['v1'] },
          },
        },
      },
    );
  });
});
