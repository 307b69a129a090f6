/** Which names a definition gets: within a group every name belongs to one definition (KEP-95). */
import type { DeepReadonly } from '../../../api/types.ts';
import type { Crd, CrdCondition, CrdNames } from './types.ts';

export interface Naming {
  readonly accepted: CrdNames;
  readonly condition: CrdCondition;
}

/** What is taken by the other definitions of the group, and what of the wanted names `crd` can have. */
export function acceptNames(crd: DeepReadonly<Crd>, all: readonly DeepReadonly<Crd>[]): Naming {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const other of all) {
    if (other.spec.group !== crd.spec.group) continue;
    const names = other.metadata?.name === crd.metadata?.name ? crd.status?.acceptedNames : other.status?.acceptedNames;
    if (!names) continue;
    for (const n of [names.plural, names.singular, ...(names.shortNames ?? [])]) if (n) resources.add(n);
    for (const n of [names.kind, names.listKind]) if (n) kinds.add(n);
  }
  const wanted = crd.spec.names;
  const had = crd.status?.acceptedNames ?? { plural: '', kind: '' };
  const accepted: CrdNames = { plural: had.plural, kind: had.kind };
  if (had.singular) accepted.singular = had.singular;
  if (had.listKind) accepted.listKind = had.listKind;
  let shortNames = had.shortNames as string[] | undefined;
  let conflict: { reason: string; message: string } | undefined;
  const take = (key: 'plural' | 'singular' | 'kind' | 'listKind', used: ReadonlySet<string>, reason: string) => {
    const name = wanted[key] ?? '';
    if (name !== (had[key] ?? '') && used.has(name))
      conflict = { reason, message: `${JSON.stringify(name)} is already in use` };
    else if (name !== '') accepted[key] = name;
  };
  take('plural', resources, 'PluralConflict');
  take('singular', resources, 'SingularConflict');
  const taken = (wanted.shortNames ?? []).filter((n) => !had.shortNames?.includes(n) && resources.has(n));
  if (taken.length > 0) {
    const messages = taken.map((n) => `${JSON.stringify(n)} is already in use`);
    conflict = {
      reason: 'ShortNamesConflict',
      message: messages.length === 1 ? messages[0]! : `[${messages.join(', ')}]`,
    };
  } else shortNames = wanted.shortNames as string[] | undefined;
  take('kind', kinds, 'KindConflict');
  take('listKind', kinds, 'ListKindConflict');
  if (shortNames?.length) accepted.shortNames = [...shortNames];
  if (wanted.categories?.length) accepted.categories = [...wanted.categories];
  return {
    accepted: inOrder(accepted),
    condition: conflict
      ? { type: 'NamesAccepted', status: 'False', ...conflict }
      : { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
  };
}

function inOrder(n: CrdNames): CrdNames {
  const out: CrdNames = { plural: n.plural } as CrdNames;
  if (n.singular) out.singular = n.singular;
  if (n.shortNames) out.shortNames = n.shortNames;
  out.kind = n.kind;
  if (n.listKind) out.listKind = n.listKind;
  if (n.categories) out.categories = n.categories;
  return out;
}

/** Whether two sets of names are the same. */
export const sameNames = (a: DeepReadonly<CrdNames> | undefined, b: DeepReadonly<CrdNames> | undefined): boolean =>
  JSON.stringify(a && inOrder(a as CrdNames)) === JSON.stringify(b && inOrder(b as CrdNames));
