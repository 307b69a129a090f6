import assert from 'node:assert/strict';
import { hostsFile, parseResolvConf, podDns, sandboxHostname } from '../../../kubelet/pods/network.ts';
import { pod } from './pods.ts';

const settings = {
  clusterDNS: ['10.1.0.10'],
  clusterDomain: 'cluster.local',
  node: parseResolvConf('nameserver 192.0.2.53\nsearch corp.example.\noptions timeout:1\n'),
};

describe('kubelet pod network files', () => {
  it('gives cluster DNS first and the node names last', () => {
    const { dns } = podDns(pod(), settings);
    assert.deepEqual(dns, {
      servers: ['10.1.0.10'],
      searches: ['ns.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'],
      options: ['ndots:5'],
    });
  });

  it("gives pods on the host's network the node's DNS unless they ask otherwise", () => {
    assert.deepEqual(podDns(pod({ hostNetwork: true }), settings).dns.servers, ['192.0.2.53']);
    assert.deepEqual(podDns(pod({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), settings).dns.servers, [
      '10.1.0.10',
    ]);
  });

  it('adds dnsConfig and lets its options win', () => {
    const { dns } = podDns(
      pod({
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['1.1.1.1'],
          searches: ['a.b'],
          options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
        },
      }),
      settings,
    );
    assert.deepEqual(dns, { servers: ['1.1.1.1'], searches: ['a.b'], options: ['ndots:2', 'edns0'] });
    const merged = podDns(pod({ dnsConfig: { options: [{ name: 'ndots', value: '1' }] } }), settings).dns;
    assert.deepEqual(merged.options, ['ndots:1']);
  });

  it('keeps three name servers and says so', () => {
    const many = podDns(pod({ dnsPolicy: 'None', dnsConfig: { nameservers: ['1', '2', '3', '4'] } }), settings);
    assert.deepEqual(many.dns.servers, ['1', '2', '3']);
    assert.match(many.warning!, /limits were exceeded/);
  });

  it('writes the hosts file with aliases', () => {
    const p = pod({ hostname: 'h', subdomain: 'sub', hostAliases: [{ ip: '1.2.3.4', hostnames: ['x', 'y'] }] });
    const text = hostsFile(p, ['10.0.0.5'], 'cluster.local', undefined);
    assert.match(text, /^10\.0\.0\.5\th\.sub\.ns\.svc\.cluster\.local\th$/m);
    assert.match(text, /^1\.2\.3\.4\tx\ty$/m);
    assert.match(hostsFile(p, [], 'cluster.local', '127.0.0.1 me\n'), /host network.*\n127\.0\.0\.1 me/);
  });

  it('names the host by the pod, cut to 63 characters, or by the whole name', () => {
    assert.equal(sandboxHostname(pod({}, { name: 'a'.repeat(62) + '-bcd' }), 'cluster.local'), 'a'.repeat(62));
    assert.equal(sandboxHostname(pod({ hostNetwork: true }), 'cluster.local'), '');
    assert.equal(
      sandboxHostname(pod({ hostname: 'h', subdomain: 's', setHostnameAsFQDN: true }), 'cluster.local'),
      'h.s.ns.svc.cluster.local',
    );
    assert.throws(
      () =>
        sandboxHostname(pod({ hostname: 'h'.repeat(60), subdomain: 's', setHostnameAsFQDN: true }), 'cluster.local'),
      /too long/,
    );
  });
});
