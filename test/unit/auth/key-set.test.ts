import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { createKeySet, readKeySet } from '../../../apiserver/authentication/jwks.ts';
import { parseJwt } from '../../../apiserver/authentication/jwt.ts';
import { TtlCache } from '../../../apiserver/authentication/ttl-cache.ts';
import type { JsonObject } from '../../../api/types.ts';
import { systemClock } from '../../../base/clock.ts';

/** The system's clock, but its monotonic time stands still until it is moved. */
function stillClock() {
  let time = 0;
  return { clock: { ...systemClock, monotonic: () => time }, move: (ms: number) => (time += ms) };
}
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const set = { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'a' }] } as JsonObject;
function token(header: object) {
  const input = [header, { sub: 'x' }].map((v) => Buffer.from(JSON.stringify(v)).toString('base64url')).join('.');
  const signature = sign('sha256', Buffer.from(input), { key: pair.privateKey, dsaEncoding: 'ieee-p1363' });
  return parseJwt(`${input}.${signature.toString('base64url')}`)!;
}

describe('key sets', () => {
  it('take the keys that can sign, whatever else there is', () => {
    const others = [
      { kty: 'oct', k: 'c2VjcmV0' },
      { kty: 'RSA', n: '!' },
      null,
      'x',
      { kty: 'OKP', crv: 'Ed25519', x: 'A' },
    ];
    assert.equal(readKeySet({ keys: [...others, ...(set['keys'] as JsonObject[])] } as JsonObject).length, 1);
    assert.equal(readKeySet({ keys: 'x' }).length, 0);
  });

  it('are fetched for unknown keys, within bounds', async () => {
    const { clock, move } = stillClock();
    let fetches = 0;
    const keys = createKeySet({ clock, fetch: () => Promise.resolve((fetches++, set)) });
    assert.equal(await keys.verify(token({ alg: 'ES256', kid: 'a' })), true);
    assert.equal(await keys.verify(token({ alg: 'ES256' })), true);
    assert.equal(fetches, 1);
    for (let i = 0; i < 50; i++) assert.equal(await keys.verify(token({ alg: 'ES256', kid: `x${i}` })), false);
    assert.equal(fetches, 20);
    move(60_000);
    await keys.verify(token({ alg: 'ES256', kid: 'later' }));
    assert.equal(fetches, 21);
    for (const alg of ['none', 'HS256', 'ES384', 'RS256', 'toString'])
      assert.equal(await keys.verify(token({ alg, kid: 'a' })), false, alg);
  });
});

describe('values for some time', () => {
  it('go when their time is over, and the oldest when there are too many', () => {
    const { clock, move } = stillClock();
    const cache = new TtlCache<number>(clock, 2);
    cache.set('a', 1, 10);
    cache.set('b', 2, 20);
    cache.set('none', 3, 0);
    assert.deepEqual([cache.get('a'), cache.get('b'), cache.get('none')], [1, 2, undefined]);
    move(10);
    assert.deepEqual([cache.get('a'), cache.get('b')], [undefined, 2]);
    cache.set('c', 3, 10);
    cache.set('d', 4, 10);
    assert.deepEqual([cache.get('b'), cache.get('c'), cache.get('d')], [undefined, 3, 4]);
  });
});
