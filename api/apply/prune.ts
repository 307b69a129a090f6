/** Takes out of a merged object what the applier dropped from its configuration and nobody else owns. */
import type { JsonObject, KubeObject } from '../types.ts';
import type { OtherVersion } from './manager.ts';
import type { Owner, Owners } from './managed.ts';
import { difference, type FieldSet, intersection, isEmpty, LEAF, union } from './set.ts';
import { type Plan, planOf } from './shape.ts';
import { fieldSetOf, removeFields, withNamedFields } from './typed.ts';

type Versions = ((apiVersion: string) => OtherVersion | undefined) | undefined;

/** An object at one version, and the way there and back. */
interface At {
  readonly plan: Plan;
  to(object: JsonObject): JsonObject;
  back(object: JsonObject): JsonObject;
}

/**
 * `owners` already has the applier's new set, `last` is what it owned before. Gives `merged` unchanged when the last
 * configuration's version is gone.
 */
export function prune(
  merged: JsonObject,
  owners: Owners,
  last: Owner,
  apiVersion: string,
  plan: Plan,
  versions: Versions,
): JsonObject {
  if (isEmpty(last.fields)) return merged;
  const at = (version: string): At | undefined => {
    if (version === apiVersion) return { plan, to: (o) => o, back: (o) => o };
    const other = versions?.(version);
    return (
      other && {
        plan: planOf(other.type),
        to: (o) => other.convert(o as KubeObject) as JsonObject,
        back: (o) => other.convertBack(o as KubeObject) as JsonObject,
      }
    );
  };
  const then = at(last.apiVersion);
  if (then === undefined) return merged;
  const whole = then.to(merged);
  const shape = { kind: 'object', plan: then.plan } as const;
  const lastFields = withNamedFields(shape, last.fields);
  let rest = removeFields(then.plan, whole, lastFields);
  rest = addBackOwned(whole, rest, last.apiVersion, owners, then, at);
  // What nobody owned and stands below something that went stays only where the last configuration didn't name it.
  const all = withNamedFields(shape, fieldSetOf(then.plan, whole));
  const kept = withNamedFields(shape, fieldSetOf(then.plan, rest));
  return then.back(removeFields(then.plan, whole, intersection(difference(all, kept), lastFields)));
}

/** Puts back what the remaining owners own, version by version. */
function addBackOwned(
  whole: JsonObject,
  rest: JsonObject,
  version: string,
  owners: Owners,
  then: At,
  at: (version: string) => At | undefined,
): JsonObject {
  const owned = new Map<string, FieldSet>();
  for (const o of owners.values()) owned.set(o.apiVersion, union(owned.get(o.apiVersion) ?? LEAF, o.fields));
  const order = [...owned.keys()].sort((a, b) => Number(b === version) - Number(a === version));
  let out = rest;
  for (const v of order) {
    const here = at(v);
    if (here === undefined) continue;
    const same = v === version;
    const shape = { kind: 'object', plan: here.plan } as const;
    const convert = (o: JsonObject): JsonObject => (same ? o : here.to(then.back(o)));
    const wholeHere = convert(whole);
    const all = withNamedFields(shape, fieldSetOf(here.plan, wholeHere));
    const kept = withNamedFields(shape, fieldSetOf(here.plan, convert(out)));
    const mine = withNamedFields(shape, owned.get(v)!);
    const pruned = removeFields(here.plan, wholeHere, difference(all, union(kept, mine)));
    out = same ? pruned : then.to(here.back(pruned));
  }
  return out;
}
