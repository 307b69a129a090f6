/** Members of JSON patches and fields of merge patches that mean nothing (KEP-2885). */
import type { JsonValue } from '../../../api/types.ts';
import { apps, core, deployment } from './shapes.ts';
import { Scenario } from './step.ts';

export function strictPatches(): Scenario {
  const s = new Scenario('validation', 'patches-strict');
  const ns = s.namespace('strict');
  const maps = core(ns, 'configmaps');
  s.post(maps, { metadata: { name: 'm' }, data: { a: '1' } });
  s.post(apps(ns, 'deployments'), deployment('d'));
  const jsonPatches: JsonValue[] = [
    [{ op: 'add', path: '/data/b', value: '2', foo: 1 }],
    [
      { op: 'test', path: '/data/a', value: '1', foo: 1, bar: { x: 1 } },
      { op: 'add', path: '/data/c', value: '3', x: 1 },
    ],
    [{ op: 'add', path: '/unknown', value: '2', foo: 1 }],
    [{ op: 'add', path: '/data/b', value: 2, foo: 1 }],
    [{ op: 'remove', path: '/nothing', foo: 1 }],
    [{ op: 'nonsense', path: '/data/b', foo: 1 }],
    [{ foo: 1 }],
    [{ op: 'add', path: '/data/b', value: '2', From: 'x', OP: 'remove' }],
  ];
  for (const validation of ['Strict', 'Warn', 'Ignore'])
    for (const patch of jsonPatches) s.patch('json', `${maps}/m?dryRun=All&fieldValidation=${validation}`, patch);
  for (const validation of ['Strict', 'Warn'])
    for (const form of ['merge', 'strategic'] as const) {
      s.patch(form, `${maps}/m?dryRun=All&fieldValidation=${validation}`, { unknown: 1, data: { b: '2' } });
      s.patch(form, `${apps(ns, 'deployments')}/d?dryRun=All&fieldValidation=${validation}`, { spec: { foo: 1 } });
      s.patch(form, `${apps(ns, 'deployments')}/d/scale?dryRun=All&fieldValidation=${validation}`, {
        spec: { foo: 1 },
      });
    }
  s.patch('json', `${apps(ns, 'deployments')}/d/scale?dryRun=All&fieldValidation=Strict`, [
    { op: 'replace', path: '/spec/replicas', value: 2, foo: 1 },
  ]);
  return s;
}
