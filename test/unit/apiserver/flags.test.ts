import assert from 'node:assert/strict';
import { durationMs, FlagError, Flags, parseFlags } from '../../../apiserver/flags.ts';

describe('flags', () => {
  it('reads both forms, lists and repetitions', () => {
    const f = new Flags(
      parseFlags([
        '--secure-port=7',
        '--bind-address',
        '::1',
        '--allow-privileged',
        '--etcd-servers=a,b',
        '--etcd-servers=c',
      ]),
    );
    assert.equal(f.int('secure-port', 1), 7);
    assert.equal(f.string('bind-address'), '::1');
    assert.equal(f.bool('allow-privileged', false), true);
    assert.deepEqual(f.list('etcd-servers'), ['a', 'b', 'c']);
    assert.equal(f.bool('profiling', true), true);
  });
  for (const [argv, message] of [
    [['--nope=1'], /unknown flag: --nope/],
    [['stray'], /"stray" is not a flag/],
    [['--secure-port=x'], /invalid argument "x" for --secure-port/],
    [['--secure-port'], /needs an argument/],
    [['--request-timeout=5'], /duration/],
  ] as const)
    it(`refuses ${argv.join(' ')}`, () =>
      assert.throws(
        () => parseFlags(argv),
        (e) => e instanceof FlagError && message.test(e.message),
      ));
  it('knows which were of no use', () => {
    const f = new Flags(parseFlags(['--profiling=false', '--secure-port=1']));
    f.int('secure-port', 0);
    assert.deepEqual(f.unused(), ['profiling']);
  });
  it('shows what holds', () => {
    const f = new Flags(
      parseFlags(['--allow-privileged', '--etcd-servers=a,b', '--event-ttl=90s', '--feature-gates=A=true']),
    );
    f.int('secure-port', 6443);
    f.durationMs('request-timeout', 60_000);
    f.string('cert-dir');
    assert.deepEqual(f.shown(), {
      'allow-privileged': 'true',
      'etcd-servers': '[a,b]',
      'event-ttl': '1m30s',
      'feature-gates': 'A=true',
      'request-timeout': '1m0s',
      'secure-port': '6443',
    });
  });
  it('reads durations', () => {
    assert.equal(durationMs('1h2m3s'), 3_723_000);
    assert.equal(durationMs('1.5s'), 1500);
    assert.equal(durationMs('5'), undefined);
  });
});
