import assert from 'node:assert/strict';
import { FlagError, Flags, parseFlags } from '../../../apiserver/flags.ts';
import { optionsFromFlags } from '../../../apiserver/options.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';
import { createAuthority, issue } from '../../../base/pki.ts';

const validity = { notBefore: Date.now() - 1000, notAfter: Date.now() + 86_400_000 };
const ca = createAuthority({ commonName: 'ca', ...validity });
const serving = issue(ca, { subject: { commonName: 'server' }, ...validity });
const other = issue(ca, { subject: { commonName: 'other' }, ...validity });
const files: Record<string, string> = {
  ca: ca.cert,
  cert: serving.cert,
  key: serving.key,
  other: other.key,
  text: 'no key',
};
const good: Record<string, string> = {
  'tls-cert-file': 'cert',
  'tls-private-key-file': 'key',
  'client-ca-file': 'ca',
  'service-account-issuer': 'https://issuer',
  'service-account-signing-key-file': 'key',
  'service-account-key-file': 'key',
  'authorization-mode': 'Node,RBAC',
  'storage-backend': 'memory',
  'service-cluster-ip-range': '10.96.0.0/16',
};

function read(change: Record<string, string | undefined>) {
  const values = Object.entries({ ...good, ...change }).filter((e) => e[1] !== undefined);
  const flags = new Flags(parseFlags(values.map(([k, v]) => `--${k}=${v}`)));
  const readFile = (path: string) => {
    if (files[path] === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return Buffer.from(files[path]);
  };
  return optionsFromFlags(flags, { clock: systemClock, logger: silentLogger, readFile });
}

describe('optionsFromFlags', () => {
  it('takes what is right', async () => {
    const { options, close } = await read({ 'secure-port': '7443', 'request-timeout': '2m' });
    assert.deepEqual([options.securePort, options.requestTimeoutSeconds], [7443, 120]);
    await close();
  });
  const cases: [Record<string, string | undefined>, RegExp][] = [
    [{ 'tls-cert-file': undefined }, /^--tls-cert-file and --tls-private-key-file are needed$/],
    [{ 'tls-private-key-file': 'other' }, /^--tls-cert-file and --tls-private-key-file can't be used/],
    [{ 'client-ca-file': 'gone' }, /^--client-ca-file: gone can't be read \(ENOENT\)$/],
    [{ 'service-account-issuer': undefined }, /^--service-account-issuer is needed$/],
    [{ 'service-account-key-file': 'text' }, /^--service-account-key-file: text holds no key/],
    [{ 'authorization-mode': 'Nope' }, /^authorization-mode "Nope" is unknown/],
    [{ 'enable-admission-plugins': 'Nope' }, /plugin "Nope" is unknown$/],
    [{ 'storage-backend': 'paper' }, /^--storage-backend "paper" is unknown/],
    [{ 'storage-backend': 'lmdb' }, /needs --data-dir$/],
    [{ 'storage-backend': 'etcd3' }, /needs --etcd-servers$/],
    [{ 'service-cluster-ip-range': '10.0.0.1' }, /^--service-cluster-ip-range: "10.0.0.1" is no address range/],
  ];
  for (const [change, message] of cases)
    it(`refuses ${JSON.stringify(change)}`, () =>
      assert.rejects(
        read(change),
        (e) => e instanceof FlagError && message.test(e.message) && !e.message.includes('\n'),
      ));
});
