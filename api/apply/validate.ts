/** Whether an applied configuration fits its type. The words are those of kube-apiserver, which kubectl prints. */
import { isObject } from '../patch/value.ts';
import type { SchemaNode } from '../schema/model.ts';
import type { JsonObject, JsonValue } from '../types.ts';
import { canonicalJson, compareText, showPath } from './path-element.ts';
import { ANY, FieldPathError, itemElement, type ListShape, type Plan, type Shape } from './shape.ts';

/** What is wrong with the configuration, one line for each value (`.spec.foo: field not declared in schema`); empty: nothing. */
export function validateConfig(plan: Plan, config: JsonObject): string[] {
  const errors: string[] = [];
  validate({ kind: 'object', plan }, config, [], errors);
  return errors;
}

/** All complaints in one text. */
export const joinErrors = (errors: readonly string[]): string =>
  errors.length === 1 ? errors[0]! : ['errors:', ...errors.map((e) => `  ${e}`)].join('\n');

function validate(shape: Shape, value: JsonValue, path: string[], errors: string[]): void {
  const complain = (message: string) => errors.push(path.length === 0 ? message : `${showPath(path)}: ${message}`);
  if (value === null || shape.kind === 'any') return;
  if (shape.kind === 'leaf') {
    const message = wrongLeaf(shape.node, value);
    if (message !== undefined) complain(message);
    else validateWithin(shape.node, value, path, errors);
  } else if (shape.kind === 'list') {
    if (Array.isArray(value)) validateItems(shape, value, path, errors);
    else complain(`expected list, got ${show(value)}`);
  } else if (!isObject(value)) complain(`expected map, got ${show(value)}`);
  else {
    for (const key of Object.keys(value).sort(compareText)) {
      const field = shape.kind === 'object' ? shape.plan.field(key) : undefined;
      const free = shape.kind === 'object' && (shape.plan.open || shape.plan.fields.length === 0);
      const inner = field?.shape ?? (shape.kind === 'map' ? shape.values : free ? ANY : undefined);
      path.push(`f:${key}`);
      if (inner === undefined) errors.push(`${showPath(path)}: field not declared in schema`);
      else validate(inner, value[key] ?? null, path, errors);
      path.pop();
    }
  }
}

function validateItems(shape: ListShape, list: readonly JsonValue[], path: string[], errors: string[]): void {
  const seen = new Set<string>();
  for (let i = 0; i < list.length; i++) {
    let element: string;
    try {
      element = itemElement(shape, list[i]);
    } catch (e) {
      if (!(e instanceof FieldPathError)) throw e;
      errors.push(`${showPath(path)}: element ${i}: ${e.message}`);
      return;
    }
    if (seen.has(element)) errors.push(`${showPath(path)}: duplicate entries for key ${showPath([element])}`);
    seen.add(element);
    path.push(element);
    validate(shape.items, list[i]!, path, errors);
    path.pop();
  }
}

/** What is owned as a whole has a form all the same: the parts of an atomic list, map or struct of a built-in kind. */
function validateWithin(node: SchemaNode, value: JsonValue, path: string[], errors: string[]): void {
  const part = (element: string, inner: SchemaNode | undefined, v: JsonValue | undefined) => {
    if (v === null || v === undefined) return;
    path.push(element);
    const message = inner ? wrongLeaf(inner, v) : 'field not declared in schema';
    if (message !== undefined) errors.push(`${showPath(path)}: ${message}`);
    else validateWithin(inner!, v, path, errors);
    path.pop();
  };
  if (node.form === 'list') (value as JsonValue[]).forEach((v, i) => part(`i:${i}`, node.items, v));
  else if (node.form === 'map')
    for (const k of Object.keys(value as JsonObject).sort(compareText))
      part(`f:${k}`, node.values, (value as JsonObject)[k]);
  else if (node.form === 'object' && !node.type.preserveUnknown && node.type.fields.length > 0)
    for (const k of Object.keys(value as JsonObject).sort(compareText))
      part(`f:${k}`, node.type.field(k)?.node, (value as JsonObject)[k]);
}

function wrongLeaf(node: SchemaNode, value: JsonValue): string | undefined {
  const { form } = node;
  switch (form) {
    case 'list':
      return Array.isArray(value) ? undefined : `expected list, got ${show(value)}`;
    case 'map':
    case 'object':
      return isObject(value) ? undefined : `expected map, got ${show(value)}`;
    case 'union':
    case 'raw':
    case 'any':
    case 'fieldsV1':
      return undefined;
    case 'bool':
      return typeof value === 'boolean' ? undefined : `expected boolean, got ${show(value)}`;
    case 'string':
    case 'bytes':
    case 'duration':
      return typeof value === 'string' ? undefined : `expected string, got ${show(value)}`;
    case 'int32':
    case 'int64':
    case 'float64':
      return typeof value === 'number' || typeof value === 'bigint'
        ? undefined
        : `expected numeric (int or float), got ${goType(value)}`;
    default:
      // What custom resources call int-or-string takes anything here; their own validation judges it.
      if (form === 'intOrString' && node.nullable !== undefined) return undefined;
      return typeof value === 'object' ? `expected any scalar, got ${show(value)}` : undefined;
  }
}

const show = (value: JsonValue): string => `&value.valueUnstructured{Value:${canonicalJson(value)}}`;
function goType(value: JsonValue): string {
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  return Array.isArray(value) ? '[]interface {}' : 'map[string]interface {}';
}
