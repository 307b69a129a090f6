import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { all, decoded, NOW } from './harness.ts';

const facts = <T>(name: string) =>
  JSON.parse(readFileSync(new URL(`../../../api/facts/${name}.json`, import.meta.url), 'utf8')) as T;
interface Resource {
  group: string;
  version: string;
  resource: string;
  scope: string;
  verbs: string[];
}

describe('the definitions of built-in kinds', () => {
  const served = new Set(
    all.flatMap((d) => [d, ...(d.otherVersions ?? [])].map((v) => `${v.group}/${v.version}/${d.resource}`)),
  );
  const names = (r: Resource) => `${r.group}/${r.version}/${r.resource.split('/')[0]}`;

  it('cover every resource that is stored', () => {
    const stored = facts<Resource[]>('resources').filter(
      (r) => r.verbs.includes('create') && r.verbs.includes('list') && !r.resource.includes('/'),
    );
    assert.deepEqual(
      stored.map(names).filter((n) => !served.has(n)),
      [],
    );
    assert.ok(stored.length > 50);
  });

  it('have the subresources that discovery lists', () => {
    const missing = facts<Resource[]>('resources')
      .filter((r) => r.resource.includes('/'))
      .filter((r) => {
        const [resource, sub] = r.resource.split('/') as [string, string];
        const d = all.find(
          (x) => x.resource === resource && (x.group === r.group || x.otherVersions?.some((o) => o.group === r.group)),
        );
        return d && !d.subresources?.[sub];
      });
    assert.deepEqual(
      missing.map((r) => r.resource),
      [],
    );
  });

  it('name schemas that exist', () => {
    for (const d of all) assert.ok(builtinSchemas().type(d.schema), d.schema);
  });

  it('make as many cells as their tables have columns, also for an object that says nothing', () => {
    const columns = facts<Record<string, unknown[]>>('table-columns');
    for (const d of all) {
      const key = `${d.group === '' ? '' : `${d.group}/`}${d.version}/${d.resource}`;
      if (!d.table || !columns[key]) continue;
      const object = decoded(d, { metadata: { name: 'x' } });
      const cells = d.table.cells(object as never, NOW);
      // Upstream shows an age of IP addresses without a column for it.
      assert.equal(cells.length, columns[key].length + (d.resource === 'ipaddresses' ? 1 : 0), key);
    }
  });
});
