import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { namespaceOptions } from '../../../kubelet/pods/security.ts';
import { createUserNamespaces } from '../../../kubelet/pods/user-namespaces.ts';
import { pod } from './pods.ts';

describe('user namespaces of pods', () => {
  let dir: string;
  beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'kubelet-userns-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const own = (uid: string) => {
    mkdirSync(join(dir, uid), { recursive: true });
    return pod({ hostUsers: false }, { uid });
  };
  const map = (host_id: number) => [{ host_id, container_id: 0, length: 65_536 }];

  it('have ids of their own, kept over a restart and given back', async () => {
    const u = createUserNamespaces(dir, 2);
    assert.deepEqual(await u.of(own('a')), map(65_536));
    assert.deepEqual(await u.of(own('b')), map(131_072));
    assert.deepEqual(await u.of(own('a')), map(65_536));
    await assert.rejects(u.of(own('c')), /empty slot/);
    const again = createUserNamespaces(dir, 2);
    assert.deepEqual(await again.of(own('b')), map(131_072));
    rmSync(join(dir, 'a'), { recursive: true });
    again.release('a');
    await assert.doesNotReject(async () => assert.deepEqual(await again.of(own('c')), map(65_536)));
  });

  it('are asked of the runtime only where the pod wants them', async () => {
    assert.equal(await createUserNamespaces(dir, 2).of(pod()), undefined);
    assert.equal(namespaceOptions(pod()).userns_options, undefined);
    assert.deepEqual(namespaceOptions(own('a'), map(65_536)).userns_options, {
      mode: 'POD',
      uids: map(65_536),
      gids: map(65_536),
    });
  });
});
