import assert from 'node:assert/strict';
import { EncryptionConfigError, parseEncryptionConfig } from '../../../apiserver/storage/encryption/config.ts';

const secret = Buffer.alloc(32, 7).toString('base64');
const config = (resources: string, providers: string) => `
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: ${resources}
  providers: ${providers}
`;
const refuses = (text: string, pattern: RegExp) =>
  assert.throws(
    () => parseEncryptionConfig(text),
    (e: Error) => e instanceof EncryptionConfigError && pattern.test(e.message),
  );

describe('encryption configuration', () => {
  it('reads providers with their keys', () => {
    const [rule] = parseEncryptionConfig(
      config(
        '[secrets, deployments.apps]',
        `
  - aesgcm: {keys: [{name: a, secret: ${secret}}, {name: b, secret: ${secret}}]}
  - kms: {apiVersion: v2, name: p, endpoint: 'unix:///run/kms.sock', timeout: 1m1.5s}
  - identity: {}`,
      ),
    );
    assert.deepEqual(rule!.resources, ['secrets', 'deployments.apps']);
    const key = Buffer.alloc(32, 7);
    assert.deepEqual(rule!.providers, [
      {
        type: 'aesgcm',
        keys: [
          { name: 'a', secret: key },
          { name: 'b', secret: key },
        ],
      },
      { type: 'kms', name: 'p', endpoint: 'unix:///run/kms.sock', timeoutMs: 61_500 },
      { type: 'identity' },
    ]);
  });

  it('names what is wrong', () => {
    refuses('kind: Pod', /^kind:/);
    refuses(config('[]', '[{identity: {}}]'), /^resources\[0\]\.resources:/);
    refuses(config('[secrets]', '[]'), /^resources\[0\]\.providers:/);
    refuses(config('[secrets]', '[{identity: {}, aescbc: {keys: []}}]'), /exactly one/);
    refuses(config('[secrets]', '[{aescbc: {keys: []}}]'), /aescbc\.keys: at least one/);
    refuses(config('[secrets]', '[{aescbc: {keys: [{name: a, secret: "!"}]}}]'), /base64/);
    refuses(config('[secrets]', '[{secretbox: {keys: [{name: a, secret: AAAA}]}}]'), /has 3 bytes; 32/);
    refuses(config('[secrets]', '[{rot13: {}}]'), /rot13: unknown field/);
    refuses(config('[secrets]', '[{kms: {apiVersion: v1, name: p, endpoint: "unix:///x"}}]'), /only v2/);
    refuses(config('[secrets]', '[{kms: {apiVersion: v2, name: p, endpoint: "tcp://x"}}]'), /unix socket/);
    refuses(config('[secrets]', '[{kms: {apiVersion: v2, name: "a:b", endpoint: "unix:///x"}}]'), /':'/);
  });

  it('refuses resources that hide each other', () => {
    const identity = '[{identity: {}}]';
    refuses(config('[Secrets]', identity), /capital/);
    refuses(config('["*"]', identity), /\*\.\*/);
    refuses(config('[secrets, "*."]', identity), /covers another/);
    refuses(config('[secrets, "*.*"]', identity), /covers the others/);
    refuses(config('[secrets, secrets]', identity), /more than once/);
    refuses(config('["secrets.*"]', identity), /across groups/);
    refuses(
      `${config('["*.*"]', identity)}- resources: [secrets]\n  providers: [{identity: {}}]\n`,
      /masked by the earlier/,
    );
  });
});
