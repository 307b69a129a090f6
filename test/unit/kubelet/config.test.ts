import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cipherNames, completeConfiguration, loadConfiguration, parseDuration } from '../../../kubelet/config.ts';
import { createRequest, selfSigned } from '../../../kubelet/certs/pem.ts';
import { loadCertificate, rotationTime, storeCertificate } from '../../../kubelet/certs/store.ts';
import { firstStrings } from '../../../kubelet/cri/events.ts';
import { capacityOf, differs, nodeStatus, type NodeFacts } from '../../../kubelet/node/status.ts';
import { completeStaticPod } from '../../../kubelet/pods/static.ts';
import { optionsFromFlags } from '../../../kubelet/main.ts';

describe('kubelet configuration', () => {
  it('reads durations', () => {
    assert.deepEqual(['1m30s', '100ms', '0', '2h', '1.5s'].map(parseDuration), [90_000, 100, 0, 7_200_000, 1500]);
    for (const bad of ['', '5', '1x', 's']) assert.throws(() => parseDuration(bad), bad);
  });

  it('lays drop-ins over the file in the order of their names', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-dropins-'));
    try {
      const head = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';
      await writeFile(
        join(dir, 'main.yaml'),
        `${head}maxPods: 5\nclusterDNS: [a, b]\nevictionHard: {pid.available: 1%}\n`,
      );
      await mkdir(join(dir, 'more'));
      await writeFile(join(dir, 'more/20.conf'), `${head}maxPods: 7\nevictionHard: {memory.available: 5%}\n`);
      await writeFile(join(dir, 'more/10.conf'), `${head}maxPods: 6\nclusterDNS: [c]\n`);
      await writeFile(join(dir, 'more/ignored.yaml'), 'nothing');
      const c = loadConfiguration(join(dir, 'main.yaml'), join(dir, 'more'));
      assert.deepEqual(
        [c.maxPods, c.clusterDNS, c.evictionHard],
        [7, ['c'], { 'pid.available': '1%', 'memory.available': '5%' }],
      );
      await writeFile(join(dir, 'more/30.conf'), 'maxPods: 8\n');
      assert.throws(() => loadConfiguration(join(dir, 'main.yaml'), join(dir, 'more')), /30.conf.*are required/);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('merges nested objects with their defaults and refuses other kinds', () => {
    const c = completeConfiguration({
      authentication: { anonymous: { enabled: true } },
      evictionHard: { 'memory.available': '5%' },
    });
    assert.equal(c.authentication.anonymous.enabled, true);
    assert.equal(c.authentication.webhook.enabled, true);
    assert.deepEqual(c.evictionHard, { 'memory.available': '5%' });
    assert.throws(() => completeConfiguration({ kind: 'Pod' }), /expected a KubeletConfiguration/);
    assert.throws(() => completeConfiguration({ syncFrequency: 'soon' }), /not a duration/);
  });

  it('takes relative paths from where the file lies', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-config-'));
    try {
      await writeFile(
        join(dir, 'c.yaml'),
        'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nstaticPodPath: manifests\n',
      );
      assert.equal(loadConfiguration(join(dir, 'c.yaml')).staticPodPath, join(dir, 'manifests'));
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('stores certificates behind a link and knows when to renew them', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-certs-'));
    try {
      const now = Date.parse('2030-01-01T00:00:00Z');
      const own = selfSigned({ commonName: 'n', dns: ['n'], ips: ['192.0.2.1'] }, now);
      storeCertificate(dir, 'x', own, now);
      const have = loadCertificate(dir, 'x')!;
      assert.match(have.certificate.subjectAltName!, /192\.0\.2\.1/);
      assert.equal(have.certificate.checkPrivateKey((await import('node:crypto')).createPrivateKey(have.keyPem)), true);
      assert.equal(rotationTime(have, 0.5), have.notBefore + (have.notAfter - have.notBefore) * 0.8);
      assert.match(
        createRequest({ commonName: 'system:node:n', organization: 'system:nodes' }).requestPem,
        /BEGIN CERTIFICATE REQUEST/,
      );
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("reads the container's id from runtime events", () => {
    const field = (n: number, s: string) => Buffer.concat([Buffer.from([(n << 3) | 2, s.length]), Buffer.from(s)]);
    assert.deepEqual(firstStrings(Buffer.concat([field(1, 'abc'), field(2, 'exec-1'), Buffer.from([0x18, 5])])), {
      first: 'abc',
      second: 'exec-1',
    });
  });

  it('gives static pods an identity and what the API would have added', () => {
    const raw = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x' },
      spec: { containers: [{ name: 'c', image: 'i', readinessProbe: { exec: { command: ['a'] } } }] },
    };
    const p = completeStaticPod(raw, 'x.yaml', 'node1');
    assert.equal(p.metadata!.name, 'x-node1');
    assert.equal(p.metadata!.annotations!['kubernetes.io/config.source'], 'file');
    assert.equal(p.spec!.containers[0]!.readinessProbe!.failureThreshold, 3);
    const changed = completeStaticPod({ ...raw, spec: { containers: [{ name: 'c', image: 'j' }] } }, 'x.yaml', 'node1');
    assert.notEqual(changed.metadata!.uid, p.metadata!.uid);
    assert.equal(completeStaticPod(raw, 'x.yaml', 'node1').metadata!.uid, p.metadata!.uid);
  });
});

describe('kubelet node status', () => {
  const facts = (over: Partial<NodeFacts> = {}): NodeFacts => ({
    now: Date.parse('2030-01-01T00:00:00Z'),
    nodeName: 'n',
    hostname: 'n',
    ips: ['192.0.2.1'],
    machine: {
      cpus: 4,
      memoryBytes: 8 * 2 ** 30,
      machineID: 'm',
      systemUUID: 's',
      bootID: 'b',
      kernelVersion: 'k',
      osImage: 'o',
      architecture: 'amd64',
      hugePages: {},
    },
    config: completeConfiguration({
      kubeReserved: { cpu: '500m', memory: '1Gi' },
      evictionHard: { 'memory.available': '100Mi' },
    }),
    rootFs: { capacityBytes: 1000 * 1024, availableBytes: 500, usedBytes: 500, inodes: 10, inodesFree: 5 },
    runtime: { name: 'containerd', version: '1' },
    handlers: [],
    features: {},
    images: [],
    problems: [],
    pressure: { memory: false, disk: false, pid: false },
    port: 10250,
    volumesInUse: [],
    previous: undefined,
    ...over,
  });

  it('subtracts what is reserved', () => {
    const { capacity, allocatable } = capacityOf(facts());
    assert.deepEqual([capacity['cpu'], allocatable['cpu']], ['4', '3500m']);
    assert.equal(allocatable['memory'], `${8 * 1024 - 1024 - 100}Mi`);
  });

  it('is ready unless something is wrong, and keeps transition times', () => {
    const good = nodeStatus(facts());
    const ready = (s: ReturnType<typeof nodeStatus>) => s.conditions!.find((c) => c.type === 'Ready')!;
    assert.equal(ready(good).status, 'True');
    const later = nodeStatus(facts({ now: Date.parse('2030-01-01T00:01:00Z'), previous: good }));
    assert.equal(ready(later).lastTransitionTime, ready(good).lastTransitionTime);
    assert.equal(differs(good, later), false);
    const bad = nodeStatus(facts({ problems: ['the network is not ready'], previous: good }));
    assert.deepEqual(
      [ready(bad).status, ready(bad).reason, ready(bad).message],
      ['False', 'KubeletNotReady', 'the network is not ready'],
    );
    assert.equal(differs(good, bad), true);
  });

  it('differs from what the API has only where a report would change it', () => {
    const want = nodeStatus(facts());
    const sorted = (m: Record<string, string>) =>
      Object.fromEntries(Object.entries(m).sort(([a], [b]) => (a < b ? -1 : 1)));
    const { images: _images, ...rest } = want;
    const have = {
      ...rest,
      capacity: { ...sorted(want.capacity!), 'example.com/other': '5' },
      allocatable: sorted(want.allocatable!),
      conditions: [
        { type: 'NetworkUnavailable', status: 'False' },
        ...want.conditions!.map((c) => ({ ...c, lastHeartbeatTime: '2029-01-01T00:00:00Z' })),
      ],
    };
    assert.equal(differs(have, want), false, 'order, others and heartbeats');
    const unknown = have.conditions.map((c) => (c.type === 'Ready' ? { ...c, status: 'Unknown' } : c));
    assert.equal(differs({ ...have, conditions: unknown }, want), true, 'a condition that another wrote');
    assert.equal(differs({ ...have, conditions: have.conditions.slice(0, -1) }, want), true, 'a lost condition');
    assert.equal(differs({ ...have, capacity: { ...have.capacity, cpu: '3' } }, want), true, 'a capacity');
    const image = nodeStatus(facts({ images: [{ id: 'i', repo_tags: ['a:1'], repo_digests: [], size: 7 }] as never }));
    assert.equal(differs(have, image), true, 'a new image');
    assert.equal(differs(image, want), true, 'an image that went');
    assert.equal(differs({ ...have, volumesInUse: ['v'] }, { ...want, volumesInUse: [] }), true, 'a volume that went');
    assert.equal(differs(undefined, want), true);
  });
});

describe('fields of the configuration', () => {
  it('lets thresholds be added to the usual ones', () => {
    const evictionHard = { 'memory.available': '5%' };
    assert.deepEqual(completeConfiguration({ evictionHard }).evictionHard, evictionHard);
    const merged = completeConfiguration({ evictionHard, mergeDefaultEvictionSettings: true }).evictionHard;
    assert.deepEqual([merged['memory.available'], merged['nodefs.available']], ['5%', '10%']);
  });

  it('knows what is to be bounded', () => {
    const check = (fields: Record<string, unknown>) => completeConfiguration(fields);
    check({ enforceNodeAllocatable: ['none'] });
    check({ enforceNodeAllocatable: ['pods', 'kube-reserved'], kubeReservedCgroup: '/kube' });
    for (const [fields, what] of [
      [{ enforceNodeAllocatable: ['pods', 'toString'] }, /"toString" is none of/],
      [{ enforceNodeAllocatable: ['none', 'pods'] }, /none stands alone/],
      [{ enforceNodeAllocatable: ['system-reserved'] }, /needs systemReservedCgroup/],
      [{ enforceNodeAllocatable: ['pods', 'pods'] }, /comes twice/],
      [
        { enforceNodeAllocatable: ['kube-reserved', 'kube-reserved-compressible'], kubeReservedCgroup: '/k' },
        /comes twice/,
      ],
      [{ reservedSystemCPUs: '0', kubeReservedCgroup: '/k' }, /can not be used/],
    ] as const)
      assert.throws(() => check(fields), what);
  });

  it('names cipher suites as Go does', () => {
    const names = [
      'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
      'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
      'TLS_AES_128_GCM_SHA256',
    ];
    assert.equal(
      cipherNames(names),
      'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256',
    );
    assert.equal(cipherNames(['TLS_RSA_WITH_AES_256_CBC_SHA']), 'AES256-SHA');
    assert.equal(cipherNames([]), undefined);
    assert.throws(() => completeConfiguration({ tlsCipherSuites: ['TLS_NONE'] }), /"TLS_NONE" is not known/);
  });
});

describe("the kubelet's command line", () => {
  it('changes the configuration, and has upstream’s names', () => {
    const o = optionsFromFlags([
      '--port=10255',
      '--cluster-dns',
      '10.0.0.10,fd00::10',
      '--register-node=false',
      '--register-with-taints=a=b:NoSchedule,c:NoExecute',
      '--node-labels=x=1,y=a=b',
      '--hostname-override=NODE-1',
      '--local-path-volumes',
      '-v',
      '4',
    ])!;
    assert.deepEqual(
      [o.config.port, o.config.clusterDNS, o.config.registerNode],
      [10255, ['10.0.0.10', 'fd00::10'], false],
    );
    assert.deepEqual(o.config.registerWithTaints, [
      { key: 'a', value: 'b', effect: 'NoSchedule' },
      { key: 'c', value: '', effect: 'NoExecute' },
    ]);
    assert.deepEqual([o.nodeLabels, o.nodeName, o.localPathVolumes], [{ x: '1', y: 'a=b' }, 'node-1', true]);
    assert.equal(optionsFromFlags(['--help']), undefined);
    assert.throws(() => optionsFromFlags(['--toString=1']), /unknown flag: --toString/);
    assert.throws(() => optionsFromFlags(['--port=x']), /invalid value "x" for --port/);
    assert.throws(() => optionsFromFlags(['--register-with-taints=a']), /is not KEY=VALUE:EFFECT/);
  });
});
