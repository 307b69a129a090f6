import assert from 'node:assert/strict';
import { applyStrategicMergePatch } from '../../../api/patch/strategic.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { StatusError } from '../../../api/status.ts';
import type { JsonObject, JsonValue } from '../../../api/types.ts';

const podSpec = builtinSchemas().type('io.k8s.api.core.v1.PodSpec');
const meta = builtinSchemas().type('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
const deploymentSpec = builtinSchemas().type('io.k8s.api.apps.v1.DeploymentSpec');

const code = (fn: () => unknown): number => {
  try {
    fn();
  } catch (e) {
    if (e instanceof StatusError) return e.code;
    throw e;
  }
  return 200;
};

describe('strategic merge patch', () => {
  const pod: JsonObject = {
    containers: [
      {
        name: 'web',
        image: 'nginx:1',
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
        args: ['x', 'y'],
      },
      { name: 'side', image: 'side:1' },
    ],
    volumes: [{ name: 'v', emptyDir: {} }],
    tolerations: [{ key: 'a' }],
    nodeSelector: { disk: 'ssd' },
  };
  const names = (out: JsonObject, field = 'containers') => (out[field] as JsonObject[]).map((c) => c['name']);
  const patched = (patch: JsonObject): JsonObject => {
    const before = JSON.stringify([pod, patch]);
    const out = applyStrategicMergePatch(pod, patch, podSpec);
    assert.equal(JSON.stringify([pod, patch]), before, 'an input changed');
    return out;
  };

  it('merges list items by their merge key, in place', () => {
    const out = patched({ containers: [{ name: 'side', image: 'side:2' }] });
    assert.deepEqual(names(out), ['web', 'side']);
    assert.equal((out['containers'] as JsonObject[])[1]!['image'], 'side:2');
    assert.equal(
      (out['containers'] as JsonObject[])[0],
      (pod['containers'] as JsonObject[])[0],
      'unchanged items are shared',
    );
  });
  it('changes nothing by null', () => assert.deepEqual(applyStrategicMergePatch(pod, null, podSpec), pod));
  it('puts new items first', () =>
    assert.deepEqual(names(patched({ containers: [{ name: 'new' }] })), ['new', 'web', 'side']));
  it('merges nested lists and replaces atomic ones', () => {
    const out = patched({
      containers: [
        {
          name: 'web',
          args: ['z'],
          env: [
            { name: 'B', value: '9' },
            { name: 'C', value: '3' },
          ],
        },
      ],
    });
    const [web] = out['containers'] as JsonObject[];
    assert.deepEqual(web!['args'], ['z']);
    assert.deepEqual(web!['env'], [
      { name: 'A', value: '1' },
      { name: 'B', value: '9' },
      { name: 'C', value: '3' },
    ]);
  });
  it('replaces lists without a strategy', () =>
    assert.deepEqual(patched({ tolerations: [{ key: 'b' }] })['tolerations'], [{ key: 'b' }]));
  it('merges maps, null removes', () => {
    assert.deepEqual(patched({ nodeSelector: { zone: 'a', disk: null } })['nodeSelector'], { zone: 'a' });
    assert.equal('volumes' in patched({ volumes: null }), false);
  });
  it('$patch: delete removes an item', () =>
    assert.deepEqual(names(patched({ containers: [{ name: 'web', $patch: 'delete' }] })), ['side']));
  it('$patch: replace replaces a list', () => {
    const out = patched({ containers: [{ name: 'only', image: 'o' }, { $patch: 'replace' }] });
    assert.deepEqual(out['containers'], [{ name: 'only', image: 'o' }]);
  });
  it('$patch: replace replaces an object', () => {
    assert.deepEqual(patched({ nodeSelector: { $patch: 'replace', z: '1' } })['nodeSelector'], { z: '1' });
    assert.deepEqual(patched({ nodeSelector: { $patch: 'delete' } })['nodeSelector'], {});
  });
  it('$setElementOrder orders the merged list', () => {
    const out = patched({
      '$setElementOrder/containers': [{ name: 'side' }, { name: 'new' }, { name: 'web' }],
      containers: [{ name: 'new', image: 'n' }],
    });
    assert.deepEqual(names(out), ['side', 'new', 'web']);
    assert.equal('$setElementOrder/containers' in out, false);
  });
  it('$setElementOrder alone reorders', () => {
    assert.deepEqual(names(patched({ '$setElementOrder/containers': [{ name: 'side' }, { name: 'web' }] })), [
      'side',
      'web',
    ]);
  });
  it('keeps items that only the server knows near where they were', () => {
    const out = applyStrategicMergePatch(
      { containers: ['a', 'server', 'b'].map((name) => ({ name })) },
      { '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }], containers: [] },
      podSpec,
    );
    assert.deepEqual(names(out), ['server', 'b', 'a']);
  });
  it('$retainKeys clears the other keys', () => {
    const out = patched({ volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] });
    assert.deepEqual(out['volumes'], [{ name: 'v', configMap: { name: 'c' } }]);
    const strategy = applyStrategicMergePatch(
      { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
      { strategy: { $retainKeys: ['type'], type: 'Recreate' } },
      deploymentSpec,
    );
    assert.deepEqual(strategy['strategy'], { type: 'Recreate' });
  });
  it('merges, deletes from and orders lists of primitives', () => {
    const before: JsonObject = { finalizers: ['a/x', 'b/y', 'c/z'] };
    const finalizers = (patch: JsonObject) => applyStrategicMergePatch(before, patch, meta)['finalizers'];
    assert.deepEqual(finalizers({ finalizers: ['d/w', 'a/x'] }), ['d/w', 'a/x', 'b/y', 'c/z']);
    assert.deepEqual(finalizers({ '$deleteFromPrimitiveList/finalizers': ['b/y'] }), ['a/x', 'c/z']);
    assert.deepEqual(
      finalizers({
        '$setElementOrder/finalizers': ['c/z', 'n/n', 'a/x'],
        finalizers: ['n/n'],
        '$deleteFromPrimitiveList/finalizers': ['b/y'],
      }),
      ['c/z', 'n/n', 'a/x'],
    );
  });
  it('drops nulls and directives from what is new', () => {
    const out = applyStrategicMergePatch(
      {},
      {
        affinity: { nodeAffinity: null, podAffinity: {} },
        containers: [{ $patch: 'delete', name: 'x' }, { name: 'y' }],
      },
      podSpec,
    );
    assert.deepEqual(out, { affinity: { podAffinity: {} }, containers: [{ name: 'y' }] });
  });

  const failures: [string, JsonValue, number][] = [
    ['an item without the merge key', { containers: [{ image: 'x' }] }, 500],
    ['an unknown directive', { $patch: 'bogus' }, 500],
    ['a merge directive in a list', { containers: [{ name: 'web', $patch: 'merge' }] }, 500],
    ['an item out of order', { '$setElementOrder/containers': [{ name: 'web' }], containers: [{ name: 'zz' }] }, 500],
    ['a $retainKeys that lacks a key', { volumes: [{ name: 'v', $retainKeys: ['name'], emptyDir: {} }] }, 400],
    ['a $retainKeys that is no list', { $retainKeys: 'x' }, 400],
    ['a patch that is no object', [], 400],
  ];
  for (const [name, patch, want] of failures) {
    it(`refuses ${name} with ${want}`, () =>
      assert.equal(
        code(() => applyStrategicMergePatch(pod, patch, podSpec)),
        want,
      ));
  }
});
