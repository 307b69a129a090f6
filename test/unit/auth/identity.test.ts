import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemIds } from '../../../base/clock.ts';
import { heldIdentity } from '../../../client/identity.ts';

describe('an identity kept in a file', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'identity-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  it('stays the same, for one process at a time', async () => {
    const file = join(dir, 'identity');
    const first = await heldIdentity(file, systemIds);
    await assert.rejects(heldIdentity(file, systemIds), /in use by another process/);
    const other = await heldIdentity(join(dir, 'other'), systemIds);
    assert.notEqual(other.identity, first.identity);
    await first.release();
    const again = await heldIdentity(file, systemIds);
    assert.equal(again.identity, first.identity);
    await Promise.all([again.release(), other.release()]);
  });

  it('is free as soon as its holder was killed', async function () {
    this.timeout(30_000);
    const file = join(dir, 'identity');
    const holder = `
      import { systemIds } from ${JSON.stringify(import.meta.resolve('../../../base/clock.ts'))};
      import { heldIdentity } from ${JSON.stringify(import.meta.resolve('../../../client/identity.ts'))};
      process.stdout.write((await heldIdentity(${JSON.stringify(file)}, systemIds)).identity);
      process.stdin.resume();`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', holder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    await assert.rejects(heldIdentity(file, systemIds), /in use by another process/);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const next = await heldIdentity(file, systemIds);
    assert.equal(next.identity, said.toString());
    await next.release();
  });
});
