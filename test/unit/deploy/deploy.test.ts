import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  closeSync,
  openSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { parseCertificate } from '../../../base/pki.ts';
import { checkName, tagOf } from '../../../deploy/cluster/config.ts';
import { runningPid, startTimeOf } from '../../../deploy/cluster/processes.ts';
import { parseImageName } from '../../../deploy/images/registry.ts';
import { TarWriter } from '../../../deploy/images/tar.ts';
import { addressAt } from '../../../deploy/server/options.ts';
import { addReplacement, componentSpec, replaceArguments } from '../../../deploy/replace.ts';
import { serverPrograms } from '../../../deploy/server/programs.ts';
import { ensurePki } from '../../../deploy/server/pki.ts';
import { unitText } from '../../../deploy/systemd.ts';

const inFolder = (use: (dir: string) => void) => {
  const dir = mkdtempSync(join(tmpdir(), 'k8ts-unit-'));
  try {
    use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};

describe('image names', () => {
  const cases: [string, string][] = [
    ['nginx', 'docker.io library/nginx latest'],
    ['nginx:1.2', 'docker.io library/nginx 1.2'],
    ['me/app', 'docker.io me/app latest'],
    ['registry.k8s.io/pause:3.10', 'registry.k8s.io pause 3.10'],
    ['localhost:5000/a/b:c', 'localhost:5000 a/b c'],
    ['x.io/a@sha256:00', 'x.io a latest'],
  ];
  for (const [name, want] of cases) it(name, () => assert.equal(Object.values(parseImageName(name)).join(' '), want));
});

describe('tar archives', () => {
  it('are read back by tar as they were written, long names and links included', () =>
    inFolder((dir) => {
      const long = `d/${'n'.repeat(150)}.txt`;
      mkdirSync(join(dir, 'src', 'sub'), { recursive: true });
      writeFileSync(join(dir, 'src', 'sub', 'f'), 'x'.repeat(1000));
      symlinkSync('sub/f', join(dir, 'src', 'link'));
      const fd = openSync(join(dir, 'a.tar'), 'w');
      const tar = new TarWriter((chunk) => void writeSync(fd, chunk));
      tar.directory('d');
      tar.bytes(long, 'content', 0o600);
      tar.tree('t', join(dir, 'src'));
      tar.end();
      closeSync(fd);
      mkdirSync(join(dir, 'out'));
      execFileSync('tar', ['-C', join(dir, 'out'), '-xf', join(dir, 'a.tar')]);
      assert.equal(readFileSync(join(dir, 'out', long), 'utf8'), 'content');
      assert.equal(readFileSync(join(dir, 'out', 't', 'link'), 'utf8'), 'x'.repeat(1000));
    }));
});

describe('cluster names and addresses', () => {
  it('are checked', () => {
    for (const good of ['a', 'k8ts', 'a-b-1']) checkName(good);
    for (const bad of ['', 'A', '-a', 'a.b', 'a/b', 'x'.repeat(40)]) assert.throws(() => checkName(bad));
  });
  it('give short interface tags that differ', () => {
    assert.ok(tagOf('a-very-long-name').length <= 6);
    assert.notEqual(tagOf('a-very-long-name'), tagOf('a-very-long-nama'));
  });
  it('count within a range', () => {
    assert.equal(addressAt('10.96.0.0/16', 1), '10.96.0.1');
    assert.equal(addressAt('10.96.5.7/12', 300), '10.96.1.44');
  });
});

describe('remembered processes', () => {
  it('are only those with the same start time', () =>
    inFolder((dir) => {
      mkdirSync(join(dir, 'run'));
      writeFileSync(join(dir, 'run', 'me.pid'), `${process.pid} ${startTimeOf(process.pid)}\n`);
      assert.equal(runningPid(dir, 'me'), process.pid);
      writeFileSync(join(dir, 'run', 'me.pid'), `${process.pid} 1\n`);
      assert.equal(runningPid(dir, 'me'), undefined);
      assert.equal(runningPid(dir, 'other'), undefined);
    }));
});

describe("the server's certificates", () => {
  const options = (dataDir: string, address = '10.0.0.1') => ({
    dataDir,
    address,
    port: 6443,
    store: 'lmdb' as const,
    podCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/16',
    loadBalancerCidrs: '',
    ingress: true,
    network: 'auto' as const,
    dnsAddress: '10.96.0.10',
    clusterDomain: 'cluster.local',
    clusterName: 'x',
    cacheDir: dataDir,
  });
  it('are made once, renewed when old, and follow the address', () =>
    inFolder((dir) => {
      assert.equal(ensurePki(options(dir), systemClock), true);
      assert.equal(ensurePki(options(dir), systemClock), false);
      const cert = () => parseCertificate(readFileSync(join(dir, 'pki', 'apiserver.crt'), 'utf8'));
      assert.ok(cert().altNames.ip.includes('10.96.0.1'));
      const ca = readFileSync(join(dir, 'pki', 'ca.crt'), 'utf8');
      const later = { ...systemClock, now: () => systemClock.now() + 300 * 86_400_000 };
      assert.equal(ensurePki(options(dir), later), true);
      assert.equal(readFileSync(join(dir, 'pki', 'ca.crt'), 'utf8'), ca);
      assert.equal(ensurePki(options(dir, '10.0.0.2'), later), true);
      assert.ok(cert().altNames.ip.includes('10.0.0.2'));
    }));
});

describe('systemd units', () => {
  it('repeat the command, quote what needs it, and end the supervisor alone', () => {
    const text = unitText('agent', ['--server=https://10.0.0.1:6443', '--node-name', 'a b']);
    assert.match(
      text,
      /^ExecStart=\S+node .*deploy\/main\.ts agent --server=https:\/\/10\.0\.0\.1:6443 --node-name "a b"$/m,
    );
    assert.match(text, /^KillMode=process$/m);
  });
});

describe('programs that are replaced', () => {
  const flags = { kubeconfig: '/k', 'leader-elect': true };
  const own = { 'identity-file': '/i' };

  it("get the flags that bear upstream's names", () => {
    const replaced = addReplacement('scheduler=/bin/true', {});
    const spec = componentSpec('scheduler', { file: 'scheduler/main.ts', flags, own, replaced });
    assert.deepEqual(spec, {
      name: 'scheduler',
      command: '/bin/true',
      args: ['--kubeconfig=/k', '--leader-elect=true'],
    });
    const ours = componentSpec('kubelet', { file: 'kubelet/main.ts', flags, own, replaced });
    assert.equal(ours.command, process.execPath);
    assert.deepEqual(ours.args.slice(-3), ['--kubeconfig=/k', '--leader-elect=true', '--identity-file=/i']);
  });

  it('are handed on to where they run', () => {
    const all = addReplacement('kubelet=/bin/false', addReplacement('controllers=/bin/true', {}));
    assert.deepEqual(replaceArguments(all, 'server'), ['--replace=controllers=/bin/true']);
    assert.deepEqual(replaceArguments(all, 'node'), ['--replace=kubelet=/bin/false']);
  });

  it('must be there and be known', () => {
    for (const bad of ['fly=/bin/true', 'scheduler', 'scheduler=', '=/bin/true'])
      assert.throws(() => addReplacement(bad, {}), /it must be program=file; programs are apiserver, /);
    assert.throws(() => addReplacement('kubelet=/nowhere', {}), /there is no program \/nowhere/);
    const options = { store: 'lmdb', replace: { apiserver: '/bin/true' } } as unknown as Parameters<
      typeof serverPrograms
    >[0];
    assert.throws(() => serverPrograms(options), /add --store=etcd/);
  });
});
