import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseFlags } from '../../../controllers/flags.ts';
import { isSelected } from '../../../controllers/manager.ts';
import { ALIASES, controllers } from '../../../controllers/registry.ts';

interface Rule {
  apiGroups?: string[];
  resources?: string[];
  verbs: string[];
}
interface Role {
  metadata: { name: string };
  rules?: Rule[];
}

const facts = JSON.parse(
  readFileSync(new URL('../../../api/facts/bootstrap-objects.json', import.meta.url), 'utf8'),
) as {
  clusterroles: Role[] | { items: Role[] };
  roles: Role[] | { items: Role[] };
};
const listOf = (x: Role[] | { items: Role[] }) => (Array.isArray(x) ? x : x.items);
const roles = [...listOf(facts.clusterroles), ...listOf(facts.roles)];

function allows(rules: readonly Rule[], verb: string, group: string, resource: string): boolean {
  const has = (list: string[] | undefined, x: string) => list?.includes('*') || list?.includes(x);
  return rules.some((r) => has(r.verbs, verb) && has(r.apiGroups, group) && has(r.resources, resource));
}

describe('controllers: the list of all', () => {
  it('has each name once, and aliases that lead to controllers', () => {
    const names = controllers.map((c) => c.name);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /-controller$/);
    for (const name of names) assert.ok(Object.keys(ALIASES).length > 0 && !(name in ALIASES));
  });

  for (const c of controllers) {
    if (c.rootCredentials) continue;
    it(`${c.name} asks for nothing that its role lacks`, () => {
      const rules = roles
        .filter((r) => r.metadata.name === `system:controller:${c.account}`)
        .flatMap((r) => r.rules ?? []);
      assert.ok(rules.length > 0, `no role for ${c.account}`);
      for (const output of c.outputs) {
        const [verbs = '', what = ''] = output.split(' ');
        const i = what.indexOf('.');
        const [resource, group] = i < 0 ? [what, ''] : [what.slice(0, i), what.slice(i + 1)];
        for (const verb of verbs.split(','))
          assert.ok(allows(rules, verb, group, resource), `${c.account} may not ${verb} ${what}`);
      }
    });
  }
});

describe('controllers: command line', () => {
  it('selects by name, exclusion and star', () => {
    assert.equal(isSelected('a', ['*'], false), true);
    assert.equal(isSelected('a', ['*', '-a'], false), false);
    assert.equal(isSelected('a', ['*'], true), false);
    assert.equal(isSelected('a', ['*', 'a'], true), true);
    assert.equal(isSelected('b', ['a'], false), false);
  });

  it('reads both forms of values, switches and concurrency', () => {
    const { flags: f } = parseFlags([
      '--kubeconfig',
      'x',
      '--leader-elect=false',
      '--use-service-account-credentials',
      '--controllers=*,-job',
      '--concurrent-deployment-syncs=7',
      '--node-monitor-grace-period=1m30.5s',
    ]);
    assert.equal(f.kubeconfig, 'x');
    assert.equal(f['leader-elect'], false);
    assert.equal(f['use-service-account-credentials'], true);
    assert.deepEqual(f.controllers, ['*', '-job']);
    assert.equal(f.concurrency['deployment'], 7);
    assert.equal(f['node-monitor-grace-period'], 90_500);
  });

  it('refuses what it does not know with one sentence', () => {
    assert.throws(() => parseFlags(['--no-such-flag']), /^Error: unknown flag: --no-such-flag$/);
    assert.throws(() => parseFlags(['--secure-port=x']), /invalid value "x" for --secure-port/);
    assert.throws(() => parseFlags(['--node-monitor-period=5']), /not a duration/);
    assert.throws(() => parseFlags(['--kubeconfig']), /flag needs an argument/);
    assert.throws(() => parseFlags(['oops']), /unexpected argument/);
  });
});
