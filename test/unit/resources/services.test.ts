import assert from 'node:assert/strict';
import { services } from '../../../apiserver/resources/services/index.ts';
import { context, decoded, serviceAllocator, type Any } from './harness.ts';

function setup(cidrs?: string[]) {
  const { allocator, addresses } = serviceAllocator(cidrs);
  const d = services(() => allocator);
  const ctx = context();
  const make = async (spec: object, name = 's') => {
    const object = decoded(d as never, {
      metadata: { name, namespace: 'default' },
      spec: { ports: [{ port: 80 }], ...spec },
    }) as Any;
    const claimed = await d.allocate!(object, undefined, ctx);
    d.strategy.prepareForCreate?.(object, ctx);
    const errors = d.strategy.validate!(object, ctx).map((e) => `${e.type.replace('FieldValue', '')} ${e.field}`);
    await (errors.length > 0 ? claimed.revert() : claimed.commit());
    return { object, errors };
  };
  return { d, make, addresses, ctx };
}

describe('services', () => {
  it('get an address of the range, held by an IPAddress object', async () => {
    const { make, addresses } = setup();
    const { object, errors } = await make({});
    assert.deepEqual(errors, []);
    assert.match(object['spec'].clusterIP, /^10\.96\./);
    assert.deepEqual(object['spec'].clusterIPs, [object['spec'].clusterIP]);
    assert.deepEqual([object['spec'].ipFamilies, object['spec'].ipFamilyPolicy], [['IPv4'], 'SingleStack']);
    assert.deepEqual([...addresses.keys()], [object['spec'].clusterIP]);
  });

  it('never share an address', async () => {
    const { make } = setup();
    const { object } = await make({}, 'a');
    await assert.rejects(make({ clusterIP: object['spec'].clusterIP as string }, 'b'), /already allocated/);
  });

  it('give back their address when they are gone', async () => {
    const { d, make, addresses, ctx } = setup();
    const { object } = await make({});
    await d.release!(object as never, ctx);
    assert.equal(addresses.size, 0);
  });

  it('give back what they claimed when they are refused', async () => {
    const { make, addresses } = setup();
    const { errors } = await make({ sessionAffinity: 'Nobody' });
    assert.deepEqual(errors, ['NotSupported spec.sessionAffinity']);
    assert.equal(addresses.size, 0);
  });

  it('get node ports until there are none', async () => {
    const { make } = setup();
    const ports = [];
    for (const n of ['a', 'b', 'c', 'd'])
      ports.push((await make({ type: 'NodePort' }, n)).object['spec'].ports[0].nodePort as number);
    assert.deepEqual(
      ports.sort((a, b) => a - b),
      [30000, 30001, 30002, 30003],
    );
    await assert.rejects(make({ type: 'NodePort' }, 'e'), /full/);
  });

  it('have addresses of both families where both are configured', async () => {
    const { make } = setup(['10.96.0.0/16', 'fd00::/112']);
    const { object, errors } = await make({ ipFamilyPolicy: 'PreferDualStack' });
    assert.deepEqual(errors, []);
    assert.deepEqual(object['spec'].ipFamilies, ['IPv4', 'IPv6']);
    assert.match(object['spec'].clusterIPs[1], /^fd00::/);
  });

  it('go without an address when they are headless or only a name', async () => {
    const { make, addresses } = setup();
    assert.deepEqual((await make({ clusterIP: 'None' })).object['spec'].clusterIPs, ['None']);
    const { object, errors } = await make({ type: 'ExternalName', externalName: 'a.example', ports: undefined });
    assert.deepEqual([errors, object['spec'].clusterIP], [[], undefined]);
    assert.equal(addresses.size, 0);
  });
});
