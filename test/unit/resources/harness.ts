/** Runs a kind's own steps without a server: normal form, defaults, preparation, validation. */
import { applyDefaults } from '../../../api/schema/defaults.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { normalize } from '../../../api/schema/normalize.ts';
import type { JsonObject, JsonValue, KubeObject } from '../../../api/types.ts';
import type { FieldError } from '../../../api/field-errors.ts';
import type { ObjectReader, ResourceDefinition, StrategyContext } from '../../../apiserver/registry/definition.ts';
import { allResources } from '../../../apiserver/resources/index.ts';
import { createServiceAllocator } from '../../../apiserver/resources/services/index.ts';

export const NOW = Date.UTC(2026, 0, 1);
const nothing: ObjectReader = { get: () => undefined, list: () => [] };

export function serviceAllocator(cidrs = ['10.96.0.0/16'], reader = nothing) {
  const addresses = new Map<string, KubeObject>();
  const writer = {
    createIfAbsent: async (_r: string, _n: string, o: KubeObject) => {
      const name = o.metadata!.name!;
      if (addresses.has(name)) return false;
      addresses.set(name, o);
      return true;
    },
    delete: async (_r: string, _n: string, name: string) => void addresses.delete(name),
  };
  let n = 0;
  const rand = { next: () => (n = (n + 0.3779) % 1) };
  return { addresses, allocator: createServiceAllocator({ reader, writer, rand, cidrs, nodePorts: [30000, 30003] }) };
}

const definitions = allResources({ services: () => serviceAllocator().allocator });
export const all = definitions;
export function kind(resource: string, group = ''): ResourceDefinition {
  return definitions.find((d) => d.resource === resource && d.group === group)!;
}

export function context(more: Partial<StrategyContext> = {}): StrategyContext {
  let n = 0;
  return {
    clock: { now: () => NOW } as StrategyContext['clock'],
    ids: { uuid: () => `uid-${++n}`, suffix: () => 'abcde' },
    user: { name: 'admin', groups: ['system:masters'] },
    namespace: 'default',
    dryRun: false,
    subresource: '',
    reader: nothing,
    ...more,
  };
}

const apiVersion = (d: { group: string; version: string }) => (d.group === '' ? d.version : `${d.group}/${d.version}`);
export type Any = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any

/** As decoding a request does. */
export function decoded(d: ResourceDefinition, body: object): KubeObject {
  const type = builtinSchemas().type(d.schema)!;
  const { object } = normalize(JSON.parse(JSON.stringify(body)) as JsonValue, type, {});
  applyDefaults(object as JsonObject, type);
  d.strategy.defaults?.(object as KubeObject, apiVersion(d));
  return object as KubeObject;
}

/** `Reason path` of each complaint, sorted. */
const said = (errors: readonly FieldError[]) =>
  [...new Set(errors.map((e) => `${e.type.replace('FieldValue', '')} ${e.field}`))].sort();

interface Outcome {
  object: Any;
  errors: string[];
  warnings: string[];
}

export function create(d: ResourceDefinition, body: object, ctx = context()): Outcome {
  const object = decoded(d, body);
  const meta = (object.metadata ??= {});
  meta.name ??= 'x';
  if (d.namespaced) meta.namespace = ctx.namespace;
  meta.uid = 'uid-0';
  meta.creationTimestamp = '2026-01-01T00:00:00Z';
  d.strategy.prepareForCreate?.(object, ctx);
  const errors = said(d.strategy.validate?.(object, ctx) ?? []);
  const warnings = d.strategy.warnings?.(object, undefined, ctx) ?? [];
  d.strategy.canonicalize?.(object);
  return { object: object as Any, errors, warnings };
}

/** Changes what `create` made; `subresource` chooses the endpoint. */
export function update(
  d: ResourceDefinition,
  old: object,
  change: (o: Any) => void,
  subresource = '',
  ctx = context(),
): Outcome {
  const before = JSON.parse(JSON.stringify(old)) as KubeObject;
  const object = JSON.parse(JSON.stringify(old)) as KubeObject;
  (object.metadata ??= {}).resourceVersion = '1';
  change(object as Any);
  d.strategy.defaults?.(object, apiVersion(d));
  const sub = subresource === '' ? undefined : d.subresources?.[subresource];
  const strategy = sub?.type === 'update' ? sub.strategy : d.strategy;
  strategy.prepareForUpdate?.(object, before, ctx);
  const errors = said(strategy.validateUpdate?.(object, before, ctx) ?? []);
  const warnings = strategy.warnings?.(object, before, ctx) ?? [];
  return { object: object as Any, errors, warnings };
}
