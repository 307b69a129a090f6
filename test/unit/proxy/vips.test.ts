import assert from 'node:assert/strict';
import type { EndpointSlice, Node, Service } from '../../../api/types.ts';
import { addressesFor } from '../../../controllers/servicelb/controller.ts';
import { inRanges, withoutOverlaps } from '../../../proxy/network/addresses.ts';
import { eligibleNodes, rankNodes, takesTraffic } from '../../../proxy/network/vips.ts';

describe('addresses of load balancers', () => {
  const nodes = ['a', 'b', 'c', 'd', 'e'];
  it('are held by one of a few nodes, and by the others’ choice the same one', () => {
    const ranked = rankNodes('10.0.0.9', nodes);
    assert.equal(ranked.length, 3);
    assert.deepEqual(rankNodes('10.0.0.9', [...nodes].reverse()), ranked);
    // the next one stands in, nothing else moves
    assert.deepEqual(
      rankNodes(
        '10.0.0.9',
        nodes.filter((n) => n !== ranked[0]),
      ).slice(0, 2),
      ranked.slice(1),
    );
  });
  it('are spread over the nodes', () => {
    const first = new Set(Array.from({ length: 100 }, (_, i) => rankNodes(`10.0.0.${i}`, nodes)[0]));
    assert.equal(first.size, 5);
  });
  it('lie where a backend is under the Local policy', () => {
    const slices = [
      {
        endpoints: [
          { addresses: ['x'], nodeName: 'b' },
          { addresses: ['y'], nodeName: 'c', conditions: { ready: false } },
        ],
      },
    ] as EndpointSlice[];
    assert.deepEqual(eligibleNodes({ spec: { externalTrafficPolicy: 'Local' } } as Service, slices, nodes), ['b']);
    assert.deepEqual(eligibleNodes({ spec: {} } as Service, slices, nodes), nodes);
  });
  it('keep away from nodes that are not ready or excluded', () => {
    const node = (status: string, labels = {}) =>
      ({ metadata: { labels }, status: { conditions: [{ type: 'Ready', status }] } }) as Node;
    assert.equal(takesTraffic(node('True')), true);
    assert.equal(takesTraffic(node('Unknown')), false);
    assert.equal(takesTraffic(node('True', { 'node.kubernetes.io/exclude-from-external-load-balancers': '' })), false);
  });
  it('come from the pool, one a family, and stay', () => {
    const pool = ['10.9.0.0/30', 'fd00:9::/126'];
    const get = (families: string[], have: string[] = [], wanted?: string) =>
      addressesFor(pool, ['10.9.0.0'], { families, have, wanted });
    assert.deepEqual(get(['IPv4']), ['10.9.0.1']);
    assert.deepEqual(get(['IPv6', 'IPv4']), ['fd00:9::', '10.9.0.1']);
    assert.deepEqual(get(['IPv4'], ['10.9.0.3']), ['10.9.0.3']);
    assert.deepEqual(get(['IPv4'], ['10.9.0.3'], '10.9.0.2'), ['10.9.0.2']);
    assert.deepEqual(get(['IPv4'], [], '10.8.0.2'), []);
  });
});

describe('address ranges', () => {
  it('hold addresses of their family', () => {
    const inside = inRanges(['10.1.0.0/16', 'fd00::/64', 'nonsense']);
    assert.deepEqual(['10.1.2.3', '10.2.0.0', 'fd00::5', 'fd00:1::5'].map(inside), [true, false, true, false]);
  });
  it('lose those that others hold', () =>
    assert.deepEqual(withoutOverlaps(['10.1.2.0/24', '10.1.0.0/16', 'fd00::/8', '10.1.0.0/16']), [
      'fd00::/8',
      '10.1.0.0/16',
    ]));
});
