/**
 * RFC 6902 as kube-apiserver's library understands it. Where that differs from the letter of the RFC: `replace` of
 * an absent key adds it, `copy` of an absent key adds null, the whole document can be replaced and tested but not
 * added or removed, and negative indices count from the end.
 */
import { strictComplaints } from '../codec/errors.ts';
import { badRequest, requestEntityTooLarge, StatusError } from '../status.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { getKey, isObject, jsonEqual, setKey, UNPROCESSABLE } from './value.ts';

/** Operations in one patch; more are refused with 413. */
const MAX_JSON_PATCH_OPERATIONS = 10_000;
/** Bytes that all `copy` operations of a patch together may copy. */
const MAX_JSON_PATCH_COPY_BYTES = 3 * 1024 * 1024;

/** Why one operation didn't apply. The client gets a plain 422; `detail` is for logs and tests. */
export class JsonPatchError extends StatusError {
  readonly detail: string;
  constructor(detail: string) {
    super(422, 'Invalid', UNPROCESSABLE, {});
    this.detail = detail;
  }
}

/** A `test` found another value. */
export class JsonPatchTestError extends JsonPatchError {}

type Container = JsonObject | JsonValue[];
interface JsonPatchOperation {
  op: string;
  path: string | undefined;
  from: string | undefined;
  value: JsonValue | undefined;
}
const MEMBERS = new Set(['op', 'path', 'from', 'value']);

/**
 * Reads a patch document. Throws 400 when it isn't a list of operations, 413 when there are too many.
 * `unknown` lists members that no operation has, as paths (`[0].foo`).
 */
function readPatch(patch: JsonValue): { operations: JsonPatchOperation[]; unknown: string[] } {
  if (patch === null) return { operations: [], unknown: [] };
  if (!Array.isArray(patch)) throw badRequest('error decoding patch: a JSON patch must be a list of operations');
  if (patch.length > MAX_JSON_PATCH_OPERATIONS) {
    throw requestEntityTooLarge(
      `The allowed maximum operations in a JSON patch is ${MAX_JSON_PATCH_OPERATIONS}, got ${patch.length}`,
    );
  }
  const unknown: string[] = [];
  const operations = patch.map((entry, i): JsonPatchOperation => {
    if (entry === null) return { op: 'unknown', path: undefined, from: undefined, value: undefined };
    if (!isObject(entry)) throw badRequest(`error decoding patch: operation ${i} is not an object`);
    for (const key of Object.keys(entry)) if (!MEMBERS.has(key)) unknown.push(`[${i}].${key}`);
    const text = (key: string): string | undefined => {
      const v = getKey(entry, key);
      if (v === undefined || v === null) return undefined;
      if (typeof v !== 'string') throw badRequest(`error decoding patch: ${key} of operation ${i} is not a string`);
      return v;
    };
    return { op: text('op') ?? 'unknown', path: text('path'), from: text('from'), value: getKey(entry, 'value') };
  });
  return { operations, unknown };
}

/**
 * The members of a patch's operations that mean nothing or stand twice (`duplicates`: their paths), for strict field
 * validation: `json patch unknown field "[0].foo"`.
 */
export function jsonPatchComplaints(patch: JsonValue, duplicates: readonly string[] = []): string[] {
  return strictComplaints(duplicates, readPatch(patch).unknown, patch).map((c) => `json patch ${c}`);
}

/** Applies a decoded patch; `document` and `patch` stay as they are, unchanged parts are shared with the result. */
export function applyJsonPatch(document: JsonValue, patch: JsonValue): JsonValue {
  const { operations } = readPatch(patch);
  const run = new Run(document);
  for (const operation of operations) run.apply(operation);
  return run.root;
}

class Run {
  root: JsonValue;
  /** Containers made during this run: these may be changed in place. */
  readonly #own = new Set<Container>();
  #copied = 0;

  constructor(document: JsonValue) {
    this.root = document;
  }

  apply(operation: JsonPatchOperation): void {
    const { op } = operation;
    switch (op) {
      case 'add':
        this.#add(need(operation.path, op), operation.value ?? null, op);
        break;
      case 'remove':
        this.#remove(need(operation.path, op), op);
        break;
      case 'replace':
        this.#replace(need(operation.path, op), operation.value);
        break;
      case 'move': {
        const from = need(operation.from, op);
        const value = this.#get(from, op) ?? null;
        this.#remove(from, op);
        this.#add(need(operation.path, op), value, op);
        break;
      }
      case 'copy': {
        const value = this.#get(need(operation.from, op), op) ?? null;
        this.#copied += JSON.stringify(value, (_k, v: unknown) => (typeof v === 'bigint' ? v.toString() : v)).length;
        if (this.#copied > MAX_JSON_PATCH_COPY_BYTES) throw new JsonPatchError('copies too much');
        // Both places hold the same value now, so that neither may be changed in place any more.
        this.#disown(value);
        this.#add(need(operation.path, op), value, op);
        break;
      }
      case 'test':
        this.#test(need(operation.path, op), operation.value);
        break;
      default:
        throw new JsonPatchError(`Unexpected kind: ${op}`);
    }
  }

  #get(pointer: string, op: string): JsonValue | undefined {
    const { container, key } = this.#locate(pointer, op, false);
    return Array.isArray(container) ? container[indexOf(container, key)] : getKey(container, key);
  }

  #add(pointer: string, value: JsonValue, op: string): void {
    const { container, key } = this.#locate(pointer, op, true);
    if (!Array.isArray(container)) setKey(container, key, value);
    else if (key === '-') container.push(value);
    else {
      let i = integer(key);
      if (i < 0) i += container.length + 1;
      if (i < 0 || i > container.length) throw invalidIndex(key);
      container.splice(i, 0, value);
    }
  }

  #remove(pointer: string, op: string): void {
    const { container, key } = this.#locate(pointer, op, true);
    if (Array.isArray(container)) container.splice(indexOf(container, key), 1);
    else if (Object.hasOwn(container, key)) delete container[key];
    else throw new JsonPatchError(`Unable to remove nonexistent key: ${key}: missing value`);
  }

  #replace(pointer: string, value: JsonValue | undefined): void {
    if (pointer === '') {
      if (typeof value !== 'object' || value === null) {
        throw new JsonPatchError('replace operation value must be object or array');
      }
      this.root = value;
      return;
    }
    const { container, key } = this.#locate(pointer, 'replace', true);
    if (Array.isArray(container)) container[indexOf(container, key)] = value ?? null;
    else setKey(container, key, value ?? null);
  }

  #test(pointer: string, value: JsonValue | undefined): void {
    const actual = pointer === '' ? this.root : this.#get(pointer, 'test');
    if (!jsonEqual(actual ?? null, value ?? null)) throw new JsonPatchTestError(`testing value ${pointer} failed`);
  }

  /** The container that a pointer's last part is in; with `write`, every container on the way is made ours. */
  #locate(pointer: string, op: string, write: boolean): { container: Container; key: string } {
    const parts = pointer.split('/');
    const missing = () => new JsonPatchError(`${op} operation does not apply: doc is missing path: "${pointer}"`);
    if (parts.length < 2 || typeof this.root !== 'object' || this.root === null) throw missing();
    let here: Container = this.root;
    if (write) here = this.root = this.#mine(here);
    for (let i = 1; i < parts.length - 1; i++) {
      const key = unescapePart(parts[i]!);
      const at: number = Array.isArray(here) ? indexOf(here, key) : 0;
      const next: JsonValue | undefined = Array.isArray(here) ? here[at] : getKey(here, key);
      if (typeof next !== 'object' || next === null) throw missing();
      const child: Container = write ? this.#mine(next) : next;
      if (child !== next) {
        if (Array.isArray(here)) here[at] = child;
        else setKey(here, key, child);
      }
      here = child;
    }
    return { container: here, key: unescapePart(parts.at(-1)!) };
  }

  #mine(container: Container): Container {
    if (this.#own.has(container)) return container;
    const copy = Array.isArray(container) ? container.slice() : { ...container };
    this.#own.add(copy);
    return copy;
  }

  #disown(value: JsonValue): void {
    if (typeof value !== 'object' || value === null || !this.#own.delete(value)) return;
    for (const v of Object.values(value)) if (v !== undefined) this.#disown(v);
  }
}

function need(pointer: string | undefined, op: string): string {
  if (pointer === undefined) throw new JsonPatchError(`${op} operation failed to decode path: missing value`);
  return pointer;
}

const unescapePart = (part: string): string =>
  part.includes('~') ? part.replace(/~[01]/g, (e) => (e === '~1' ? '/' : '~')) : part;

function integer(key: string): number {
  if (!/^[+-]?\d{1,15}$/.test(key)) throw new JsonPatchError(`value was not a proper array index: '${key}'`);
  return Number(key);
}

const invalidIndex = (key: string) =>
  new JsonPatchError(`Unable to access invalid index: ${key}: invalid index referenced`);

/** The position of an existing element. */
function indexOf(list: readonly JsonValue[], key: string): number {
  const i = integer(key);
  const at = i < 0 ? i + list.length : i;
  if (at < 0 || at >= list.length) throw invalidIndex(key);
  return at;
}
