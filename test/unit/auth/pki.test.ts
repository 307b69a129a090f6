import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate, createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createAuthority,
  createCsr,
  generateKey,
  issue,
  keyFromPem,
  keyToPem,
  parseCertificate,
  parseCsr,
  signCertificate,
} from '../../../base/pki.ts';

const FROM = Date.UTC(2026, 0, 1);
const TO = Date.UTC(2060, 5, 30, 12, 30, 15);

for (const algorithm of ['rsa-2048', 'ecdsa-p256'] as const) {
  describe(`pki with ${algorithm}`, () => {
    const ca = createAuthority({ commonName: 'test-ca', notBefore: FROM, notAfter: TO, algorithm });
    const leaf = issue(ca, {
      subject: { commonName: 'system:node:n1', organizations: ['system:nodes', 'b,O=c'], uid: 'u-1' },
      altNames: { dns: ['n1', 'n1.example'], ip: ['10.0.0.1', 'fd00::1'] },
      extendedUsages: ['client auth', 'server auth'],
      notBefore: FROM,
      notAfter: TO,
      algorithm,
    });

    it('makes certificates that node and openssl accept', () => {
      const dir = mkdtempSync(join(tmpdir(), 'pki-'));
      try {
        writeFileSync(join(dir, 'ca.crt'), ca.cert);
        writeFileSync(join(dir, 'leaf.crt'), leaf.cert);
        const out = execFileSync('openssl', [
          'verify',
          '-x509_strict',
          '-purpose',
          'sslserver',
          '-CAfile',
          join(dir, 'ca.crt'),
          join(dir, 'leaf.crt'),
        ]);
        assert.match(out.toString(), /OK/);
      } finally {
        rmSync(dir, { recursive: true });
      }
      const x = new X509Certificate(leaf.cert);
      assert.ok(x.verify(new X509Certificate(ca.cert).publicKey));
      assert.ok(x.checkPrivateKey(keyFromPem(leaf.key)));
      assert.equal(x.subjectAltName, 'DNS:n1, DNS:n1.example, IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1');
    });

    it('reads back what it wrote', () => {
      const info = parseCertificate(leaf.cert);
      assert.deepEqual(info.subject, {
        commonName: 'system:node:n1',
        organizations: ['system:nodes', 'b,O=c'],
        organizationalUnits: [],
        uid: 'u-1',
      });
      assert.deepEqual(info.altNames, { dns: ['n1', 'n1.example'], ip: ['10.0.0.1', 'fd00::1'], email: [], uri: [] });
      assert.deepEqual(info.usages, ['digital signature', 'key encipherment']);
      assert.deepEqual(info.extendedUsages, ['client auth', 'server auth']);
      assert.equal(info.notBefore, FROM);
      assert.equal(info.notAfter, TO);
      assert.equal(info.ca, false);
      assert.equal(parseCertificate(ca.cert).ca, true);
      assert.deepEqual(parseCertificate(ca.cert).usages, ['digital signature', 'key encipherment', 'cert sign']);
    });

    it('makes signing requests and refuses forged ones', () => {
      const key = generateKey(algorithm);
      const pem = createCsr(
        { subject: { commonName: 'x', organizations: ['y'] }, altNames: { dns: ['d'], ip: ['::1'] } },
        key,
      );
      const csr = parseCsr(pem);
      assert.equal(csr.subject.commonName, 'x');
      assert.deepEqual(csr.altNames, { dns: ['d'], ip: ['::1'], email: [], uri: [] });
      assert.deepEqual(
        csr.publicKey.export({ format: 'der', type: 'spki' }),
        createPublicKey(key).export({ format: 'der', type: 'spki' }),
      );
      const cert = signCertificate(
        { subject: csr.subject, notBefore: FROM, notAfter: TO },
        csr.publicKey,
        keyFromPem(ca.key),
        ca.cert,
      );
      assert.ok(new X509Certificate(cert).checkPrivateKey(keyFromPem(keyToPem(key))));
      const bytes = Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64');
      bytes[bytes.indexOf('x', 8, 'latin1')] = 0x7a;
      assert.throws(() => parseCsr(bytes));
      assert.throws(() => parseCsr(bytes.subarray(0, 40)), /DER/);
    });
  });
}
