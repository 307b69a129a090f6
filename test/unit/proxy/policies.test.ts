/**
 * Golden translations: each `policies/NAME.yaml` holds objects as they stand in the API, `NAME.nft` the rules for node
 * n1. K8TS_GOLDEN=write writes them anew (read the difference before committing it).
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import type { KubeObject, Namespace, Pod } from '../../../api/types.ts';
import type { NetworkPolicy, PolicyInput } from '../../../proxy/policy/model.ts';
import { portMatches } from '../../../proxy/policy/ports.ts';
import { policyPod } from '../../../proxy/policy/sync.ts';
import { closed, POLICY_TABLE, policyTable } from '../../../proxy/policy/translate.ts';
import { renderTable, renderTableChange } from '../../../proxy/rules/nft.ts';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'policies');

function readInput(file: string): PolicyInput {
  const all = parseAllDocuments(readFileSync(file, 'utf8')).map((d) => d.toJS() as KubeObject);
  const kind = <T>(name: string) => all.filter((o) => o.kind === name) as T[];
  return {
    policies: kind<NetworkPolicy>('NetworkPolicy'),
    namespaces: new Map(kind<Namespace>('Namespace').map((n) => [n.metadata!.name!, n.metadata!.labels ?? {}])),
    pods: kind<Pod>('Pod').flatMap((p) => policyPod(p) ?? []),
  };
}

const CIDRS = ['10.244.1.0/24', 'fd00:1::/64'];
const tableOf = (input: PolicyInput, family: 4 | 6) => policyTable(input, { name: 'n1', family, podCidrs: CIDRS })!;
const text = (input: PolicyInput) =>
  ([4, 6] as const).map((f) => renderTable(`${f === 6 ? 'ip6' : 'ip'} ${POLICY_TABLE}`, tableOf(input, f))).join('\n');

describe('network policies as rules', () => {
  for (const file of globSync(join(FOLDER, '*.yaml')).sort())
    it(basename(file, '.yaml'), () => {
      const golden = file.replace(/yaml$/, 'nft');
      const got = text(readInput(file));
      if (process.env['K8TS_GOLDEN'] === 'write' || !existsSync(golden)) writeFileSync(golden, got);
      assert.equal(got, readFileSync(golden, 'utf8'));
    });
  it('are none without a policy', () => {
    assert.equal(
      policyTable({ policies: [], namespaces: new Map(), pods: [] }, { name: 'n1', family: 4, podCidrs: [] }),
      undefined,
    );
  });
  it('change by elements alone when a pod comes', () => {
    const input = readInput(join(FOLDER, 'peers.yaml'));
    const more = { ...input.pods.find((p) => p.name === 'friend')!, name: 'friend-2', ips: ['10.244.2.77'] };
    const change = renderTableChange('ip t', tableOf(input, 4), tableOf({ ...input, pods: [...input.pods, more] }, 4));
    assert.match(change, /^(add element ip t pods-\w+ \{ 10\.244\.2\.77 \}\n)+$/);
  });
  it('isolate as before, and allow nothing, when they can not be put into force', () => {
    const policy = (spec: object) => ({ metadata: { name: 'p', namespace: 'd' }, spec }) as NetworkPolicy;
    const podSelector = { matchLabels: { app: 'a' } };
    assert.deepEqual(closed(policy({ podSelector, egress: [{}] })).spec, {
      podSelector,
      policyTypes: ['Ingress', 'Egress'],
      ingress: [],
      egress: [],
    });
    assert.deepEqual(closed(policy({ podSelector, policyTypes: ['Egress'] })).spec!.policyTypes, ['Egress']);
  });
  it('read ranges as Kubernetes does; what can not be read allows nothing', () => {
    const input = readInput(join(FOLDER, 'blocks-and-ports.yaml'));
    const [first] = input.policies;
    const from = (cidr: string, except?: string[]) => {
      const spec = { ...first!.spec!, policyTypes: ['Ingress'], ingress: [{ from: [{ ipBlock: { cidr, except } }] }] };
      const table = tableOf({ ...input, policies: [{ ...first!, spec }] }, 4);
      return [...table.chains].find(([name]) => name.startsWith('in-'))![1].rules;
    };
    assert.deepEqual(from('010.0.0.0/8'), ['ip saddr 10.0.0.0/8 accept']);
    assert.deepEqual(from('10.0.0.0'), []);
    assert.deepEqual(from('10.0.0.0/8', ['x']), []);
  });
  it('join ranges that touch', () => {
    const ports = [
      { protocol: 'TCP', port: 80 },
      { protocol: 'TCP', port: 81, endPort: 90 },
      { protocol: 'TCP', port: 85 },
      { protocol: 'TCP', port: 100 },
      { protocol: 'SCTP' },
    ];
    assert.deepEqual(portMatches(ports, undefined), ['meta l4proto sctp', 'meta l4proto tcp th dport { 80-90, 100 }']);
  });
});
