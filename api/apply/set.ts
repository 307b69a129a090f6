/**
 * Field sets in the form that managedFields stores them (FieldsV1), and the algebra on them. A set is a tree of plain
 * objects whose keys are path elements; a node is itself a member when it is empty or has the key `.`:
 *
 *   { "f:metadata": { "f:labels": { ".": {}, "f:app": {} } } }   has .metadata.labels and .metadata.labels.app
 *
 * Keys of a node stand in the order of comparePathElements. Trees are never changed once made: they share parts.
 */
import { comparePathElements, isPathElement } from './path-element.ts';

export interface FieldSet {
  readonly [element: string]: FieldSet;
}
/** A set under construction. */
export type MutableFieldSet = Record<string, FieldSet>;

/** The set without members; as a node in a tree, a member without children. */
export const LEAF: FieldSet = Object.freeze({});
/** The key that makes a node with children a member. */
export const SELF = '.';

const has = (node: FieldSet, key: string): boolean => Object.hasOwn(node, key);

/** Whether the node stands for a member of the set. */
export function isMember(node: FieldSet): boolean {
  if (has(node, SELF)) return true;
  for (const _ in node) return false;
  return true;
}

/** Whether there are nodes below. */
export function hasChildren(node: FieldSet): boolean {
  for (const key in node) if (key !== SELF) return true;
  return false;
}

/** The node as a member. */
export function asMember(node: FieldSet | undefined): FieldSet {
  if (node === undefined) return LEAF;
  return isMember(node) ? node : { [SELF]: LEAF, ...node };
}

/** A whole set (not a node) without any member. */
export function isEmpty(set: FieldSet | undefined): boolean {
  return set === undefined || !hasChildren(set);
}

function node(member: boolean, children: MutableFieldSet | undefined): FieldSet | undefined {
  if (children === undefined) return member ? LEAF : undefined;
  return member ? { [SELF]: LEAF, ...children } : children;
}

const elements = (set: FieldSet): string[] => Object.keys(set).filter((key) => key !== SELF);

/** Everything in either. */
export function union(a: FieldSet | undefined, b: FieldSet | undefined): FieldSet {
  if (a === undefined || isEmpty(a)) return b ?? LEAF;
  if (b === undefined || isEmpty(b)) return a;
  return unionChildren(a, b);
}

function unionNode(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  const member = isMember(a) || isMember(b);
  const children = hasChildren(a) || hasChildren(b) ? unionChildren(a, b) : undefined;
  return node(member, children) ?? LEAF;
}

function unionChildren(a: FieldSet, b: FieldSet): MutableFieldSet {
  const out: MutableFieldSet = {};
  const left = elements(a);
  const right = elements(b);
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    const l = left[i];
    const r = right[j];
    if (l === r) {
      out[l!] = unionNode(a[l!]!, b[l!]!);
      i++;
      j++;
    } else if (r === undefined || (l !== undefined && comparePathElements(l, r) < 0)) {
      out[l!] = a[l!]!;
      i++;
    } else {
      out[r] = b[r]!;
      j++;
    }
  }
  return out;
}

/** Everything in both. */
export function intersection(a: FieldSet, b: FieldSet | undefined): FieldSet {
  if (b === undefined) return LEAF;
  return commonChildren(a, b) ?? LEAF;
}

function commonChildren(a: FieldSet, b: FieldSet): MutableFieldSet | undefined {
  let out: MutableFieldSet | undefined;
  for (const key in a) {
    if (key === SELF || !has(b, key)) continue;
    const x = a[key]!;
    const y = b[key]!;
    const common = node(isMember(x) && isMember(y), commonChildren(x, y));
    if (common !== undefined) (out ??= {})[key] = common;
  }
  return out;
}

/** What is in `a` and not in `b`; `a` itself when nothing goes. */
export function difference(a: FieldSet, b: FieldSet | undefined): FieldSet {
  return b === undefined || isEmpty(b) ? a : (subtract(a, b, false) ?? LEAF);
}

/** Like difference, and everything below a member of `b` goes too. */
export function recursiveDifference(a: FieldSet, b: FieldSet | undefined): FieldSet {
  return b === undefined || isEmpty(b) ? a : (subtract(a, b, true) ?? LEAF);
}

/** The children of `a` without `b`; undefined when none is left, `a` itself when all are. */
function subtract(a: FieldSet, b: FieldSet, deep: boolean): FieldSet | undefined {
  let out: MutableFieldSet | undefined;
  let changed = false;
  for (const key in a) {
    if (key === SELF) continue;
    const x = a[key]!;
    let rest: FieldSet | undefined = x;
    if (has(b, key)) {
      const y = b[key]!;
      const gone = isMember(y);
      if (gone && deep) rest = undefined;
      else {
        const children = hasChildren(x) ? subtract(x, y, deep) : undefined;
        const member = isMember(x);
        if (children === x || (children === undefined && !hasChildren(x))) rest = !gone || !member ? x : withoutSelf(x);
        else rest = node(member && !gone, children === undefined ? undefined : withoutSelfKey(children));
      }
    }
    if (rest !== x) changed = true;
    if (rest !== undefined) (out ??= {})[key] = rest;
  }
  return changed ? out : a;
}

function withoutSelf(x: FieldSet): FieldSet | undefined {
  return hasChildren(x) ? withoutSelfKey(x) : undefined;
}
function withoutSelfKey(x: FieldSet): MutableFieldSet {
  const { [SELF]: _self, ...rest } = x;
  return rest;
}

/** The set of the given paths (field names only). */
export function setOfFields(paths: readonly (readonly string[])[]): FieldSet {
  let out: FieldSet = LEAF;
  for (const path of paths) {
    let branch: FieldSet = LEAF;
    for (let i = path.length - 1; i >= 0; i--) branch = { [`f:${path[i]}`]: branch };
    out = union(out, branch);
  }
  return out;
}

/** Whether the path (of path elements) is a member. */
export function hasPath(set: FieldSet, path: readonly string[]): boolean {
  let at: FieldSet = set;
  for (const element of path) {
    if (!has(at, element)) return false;
    at = at[element]!;
  }
  return path.length > 0 && isMember(at);
}

/** All member paths, members of a node before those below it. */
export function* paths(set: FieldSet, prefix: readonly string[] = []): Generator<string[]> {
  const keys = elements(set);
  for (const key of keys) if (isMember(set[key]!)) yield [...prefix, key];
  for (const key of keys) yield* paths(set[key]!, [...prefix, key]);
}

/** The same members. */
export function setsEqual(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  const keys = elements(a);
  if (keys.length !== elements(b).length) return false;
  return keys.every((k) => has(b, k) && isMember(a[k]!) === isMember(b[k]!) && setsEqual(a[k]!, b[k]!));
}

/**
 * Reads FieldsV1 as a client sent it: path elements in their one spelling, in order, unknown kinds of elements left
 * out. Throws on what is no field set.
 */
export function parseFieldSet(value: unknown): FieldSet {
  return readChildren(value).set ?? LEAF;
}

function readChildren(value: unknown): { set: FieldSet | undefined; member: boolean } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('a field set must be made of objects');
  }
  let member = false;
  const found: [string, FieldSet][] = [];
  for (const [key, child] of Object.entries(value)) {
    if (key === SELF) {
      member = true;
      continue;
    }
    const element = isPathElement(key);
    if (element === undefined) continue;
    const inner = readChildren(child);
    found.push([element, node(inner.member, inner.set as MutableFieldSet | undefined) ?? LEAF]);
  }
  if (found.length === 0) return { set: undefined, member: true };
  found.sort(([a], [b]) => comparePathElements(a, b));
  const set: MutableFieldSet = {};
  for (const [key, child] of found) set[key] = has(set, key) ? unionNode(set[key]!, child) : child;
  return { set, member };
}
