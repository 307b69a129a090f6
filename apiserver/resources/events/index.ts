/** Events: one store, seen as core/v1 and as events.k8s.io/v1. */
import type * as k8s from '@kubernetes/client-node';
import { parseRfc3339 } from '../../../api/time.ts';
import type { CoreEvent, DeepReadonly, Json, KubeObject } from '../../../api/types.ts';
import type { StrategyContext } from '../../registry/definition.ts';
import { define, schemaName } from '../define.ts';
import { nameOf, since, UNKNOWN } from '../table.ts';
import { Field } from '../validation/field.ts';
import { objectMeta, objectMetaUpdate } from '../validation/meta.ts';
import { dns1123Subdomain, pathSegment, qualifiedName } from '../validation/names.ts';

type NewEvent = Json<k8s.EventsV1Event>;
const isCore = (ctx: StrategyContext) => (ctx.apiVersion ?? 'v1') === 'v1';

/** Rules of both versions; only events with an eventTime are held to the newer ones. */
function legacy(f: Field<CoreEvent>, ctx: StrategyContext): void {
  const e = f.value!;
  const namespace = e.metadata?.namespace ?? '';
  const involved = f.get('involvedObject').get('namespace');
  const about = e.involvedObject?.namespace ?? '';
  const mismatch = 'does not match event.namespace';
  if (!e.eventTime) {
    if (about === '' ? namespace !== '' && namespace !== 'default' : about !== namespace)
      involved.invalid(mismatch, about);
  } else {
    if (about === '' && namespace !== 'default' && namespace !== 'kube-system') involved.invalid(mismatch, about);
    const reporting = f.named(isCore(ctx) ? 'reportingComponent' : 'reportingController', e.reportingComponent ?? '');
    reporting.required().formatAll(qualifiedName);
    for (const k of ['reportingInstance', 'action', 'reason'] as const) {
      f.get(k).required();
      f.get(k).check((e[k] ?? '').length <= 128, 'can have at most 128 characters');
    }
    f.get('message').check((e.message ?? '').length <= 1024, 'can have at most 1024 characters');
  }
  f.named('namespace', namespace).formatAll(dns1123Subdomain);
}

function series(f: Field<CoreEvent>): void {
  const s = f.get('series');
  if (!s.isSet) return;
  s.get('count').check((s.value?.count ?? 0) >= 2, 'should be at least 2');
  s.get('lastObservedTime').required();
}

const IMMUTABLE = [
  'involvedObject',
  'reason',
  'message',
  'source',
  'firstTimestamp',
  'lastTimestamp',
  'count',
  'type',
  'action',
  'reportingInstance',
] as const;
const instant = (t: string | undefined) => JSON.stringify(t ? parseRfc3339(t) : null);

/** core/v1 to events.k8s.io/v1. */
export function toEventsV1(e: DeepReadonly<CoreEvent>): KubeObject {
  const { involvedObject, source, message, firstTimestamp, lastTimestamp, count, reportingComponent, ...rest } =
    e as CoreEvent;
  return {
    ...rest,
    apiVersion: 'events.k8s.io/v1',
    regarding: involvedObject,
    deprecatedSource: source,
    note: message,
    deprecatedFirstTimestamp: firstTimestamp ?? null,
    deprecatedLastTimestamp: lastTimestamp ?? null,
    deprecatedCount: count,
    reportingController: reportingComponent || undefined,
    reportingInstance: rest.reportingInstance || undefined,
  } as KubeObject;
}

/** events.k8s.io/v1 to core/v1. */
export function fromEventsV1(object: KubeObject): CoreEvent {
  const {
    regarding,
    deprecatedSource,
    note,
    deprecatedFirstTimestamp,
    deprecatedLastTimestamp,
    deprecatedCount,
    reportingController,
    ...rest
  } = object as NewEvent;
  return {
    ...rest,
    apiVersion: 'v1',
    involvedObject: regarding ?? {},
    source: deprecatedSource,
    message: note,
    firstTimestamp: deprecatedFirstTimestamp ?? null,
    lastTimestamp: deprecatedLastTimestamp ?? null,
    count: deprecatedCount,
    reportingComponent: reportingController ?? '',
    reportingInstance: rest.reportingInstance ?? '',
  } as unknown as CoreEvent;
}

const TTL_SECONDS = 3600;

function selectable(e: DeepReadonly<CoreEvent>): Record<string, string> {
  const fields: Record<string, string> = {
    reason: e.reason ?? '',
    reportingComponent: e.reportingComponent ?? '',
    reportingController: e.reportingComponent ?? '',
    source: e.source?.component || e.reportingComponent || '',
    type: e.type ?? '',
  };
  for (const k of ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'] as const) {
    fields[`involvedObject.${k}`] = fields[`regarding.${k}`] = e.involvedObject?.[k] ?? '';
  }
  return fields;
}

export const events = define<CoreEvent>('', 'events', 'Event', 'Namespaced', {
  schema: schemaName('', 'v1', 'Event'),
  allowCreateOnUpdate: true,
  ttlSeconds: () => TTL_SECONDS,
  uncollected: true,
  uncached: true,
  strategy: {
    validate(e, ctx) {
      const f = new Field<CoreEvent>(e, []);
      legacy(f, ctx);
      // In the core group metadata is looked at when all else is fine.
      if (isCore(ctx) && f.errors.length > 0) return f.errors;
      objectMeta(f as Field<KubeObject>, { namespaced: true }, isCore(ctx) ? pathSegment : dns1123Subdomain, {
        anyFinalizer: isCore(ctx),
      });
      if (isCore(ctx)) return f.errors;
      series(f);
      f.get('eventTime').required();
      f.get('type').check(e.type === 'Normal' || e.type === 'Warning', `has invalid value: ${e.type ?? ''}`);
      for (const k of ['firstTimestamp', 'lastTimestamp', 'count'] as const)
        f.get(k).check(f.get(k).isEmpty, 'needs to be unset');
      f.get('source').check(!e.source?.component && !e.source?.host, 'needs to be unset');
      return f.errors;
    },
    validateUpdate(e, old, ctx) {
      const f = new Field<CoreEvent>(e, []);
      legacy(f, ctx);
      objectMetaUpdate(f as Field<KubeObject>, old, { anyFinalizer: isCore(ctx) });
      if (isCore(ctx)) return f.errors;
      if (JSON.stringify(e.series) !== JSON.stringify(old.series)) series(f);
      for (const k of IMMUTABLE) f.get(k).immutable(old[k]);
      f.get('related').immutablePointer(old.related);
      f.named('reportingController', e.reportingComponent).immutable(old.reportingComponent);
      if (instant(e.eventTime) !== instant(old.eventTime)) f.get('eventTime').invalid('field is immutable');
      return f.errors;
    },
  },
  otherVersions: [
    {
      group: 'events.k8s.io',
      version: 'v1',
      schema: schemaName('events.k8s.io', 'v1', 'Event'),
      fromStorage: toEventsV1,
      toStorage: fromEventsV1,
    },
  ],
  selectableFields: selectable,
  selectsBy: (field, apiVersion) =>
    apiVersion === 'v1'
      ? !/^(regarding\.|reportingController$)/.test(field)
      : !/^(involvedObject\.|reportingComponent$|source$)/.test(field),
  indexedFields: ['involvedObject.uid', 'involvedObject.name'],
  table: {
    cells(shown, now) {
      const e = shown.apiVersion === 'events.k8s.io/v1' ? fromEventsV1(shown as KubeObject) : shown;
      const first = e.firstTimestamp ? since(e.firstTimestamp, now) : e.eventTime ? since(e.eventTime, now) : UNKNOWN;
      const seen = e.series
        ? since(e.series.lastObservedTime, now)
        : e.lastTimestamp
          ? since(e.lastTimestamp, now)
          : first;
      const kind = (e.involvedObject?.kind ?? '').toLowerCase();
      const host = e.source?.host || e.reportingInstance;
      return [
        seen,
        e.type ?? '',
        e.reason ?? '',
        e.involvedObject?.name ? `${kind}/${e.involvedObject.name}` : kind,
        e.involvedObject?.fieldPath ?? '',
        (e.source?.component || e.reportingComponent || '') + (host ? `, ${host}` : ''),
        (e.message ?? '').trim(),
        first,
        e.series?.count ?? (e.count || 1),
        nameOf(e),
      ];
    },
  },
});
