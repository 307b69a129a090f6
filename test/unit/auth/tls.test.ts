import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { createAuthority, issue, parseCertificate } from '../../../base/pki.ts';
import { followFiles, followServerCertificate } from '../../../base/tls.ts';

describe('TLS files', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'tls-'))));
  afterEach(() => rmSync(dir, { recursive: true }));
  const replace = (name: string, text: string) => {
    writeFileSync(join(dir, `${name}.new`), text);
    renameSync(join(dir, `${name}.new`), join(dir, name));
  };

  it('are seen by themselves when they are replaced', async () => {
    replace('a', 'one');
    const files = followFiles({ clock: systemClock, files: [join(dir, 'a')] });
    const seen = new Promise<string>((resolve) => files.onChange(([a]) => resolve(a!.toString())));
    replace('a', 'two');
    assert.equal(await seen, 'two');
    files.close();
  });

  it('stay as they were while a file is missing', () => {
    replace('a', 'one');
    const files = followFiles({ clock: systemClock, files: [join(dir, 'a')] });
    rmSync(join(dir, 'a'));
    files.check();
    assert.equal(files.contents[0]!.toString(), 'one');
    files.close();
    assert.throws(() => followFiles({ clock: systemClock, files: [join(dir, 'none')] }), { code: 'ENOENT' });
  });

  it('give a running server its new certificate', async () => {
    const validity = { notBefore: Date.now() - 1000, notAfter: Date.now() + 3_600_000 };
    const ca = createAuthority({ commonName: 'ca', ...validity });
    const put = (commonName: string) => {
      const identity = issue(ca, {
        subject: { commonName },
        altNames: { dns: ['localhost'] },
        extendedUsages: ['server auth'],
        ...validity,
      });
      replace('key', identity.key);
      replace('cert', identity.cert);
    };
    put('first');
    const follow = followServerCertificate({
      clock: systemClock,
      certFile: join(dir, 'cert'),
      keyFile: join(dir, 'key'),
    });
    const server = createServer(follow.secureContext(), (socket) => socket.end());
    follow.attach(server);
    const changed = new Promise<void>((resolve) => {
      const set = server.setSecureContext.bind(server);
      server.setSecureContext = (options) => {
        set(options);
        resolve();
      };
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const name = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(
          { port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername: 'localhost', ca: ca.cert },
          () => {
            resolve(parseCertificate(socket.getPeerCertificate().raw).subject.commonName);
            socket.end();
          },
        );
        socket.on('error', reject);
      });
    assert.equal(await name(), 'first');
    put('second');
    await changed;
    assert.equal(await name(), 'second');
    follow.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
