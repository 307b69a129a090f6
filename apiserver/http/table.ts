/** Tables: what `kubectl get` shows. Columns are facts, cells come from each kind's definition. */
import type { DeepReadonly, JsonObject, KubeObject } from '../../api/types.ts';
import type { ServedResource } from '../registry/catalog.ts';
import { partialMetadata, servedObject, type IncludeObject } from './render.ts';

type Cell = string | number | boolean | null;

/** The column definitions of a resource. */
export function tableColumns(served: ServedResource): JsonObject[] {
  return served.columns.map((c) => ({
    name: c.name,
    type: c.type,
    format: c.format,
    description: c.description ?? '',
    priority: c.priority,
  }));
}

/** Kinds without a printer of their own upstream, whose empty tables have no list of rows. */
export const hasPlainTable = (served: ServedResource): boolean => served.columns[1]?.name === 'Created At';

/** One row with its cells, conditions and as much of the object as was asked for. */
export function tableRow(
  served: ServedResource,
  stored: DeepReadonly<KubeObject>,
  now: number,
  include: IncludeObject,
  version: string,
): JsonObject {
  // Cells are made of the stored form; the columns of a custom resource belong to the version asked for.
  const object = served.custom ? servedObject(served, stored) : stored;
  const maker = served.definition.table;
  const cells = maker ? (maker.cells(object as never, now) as Cell[]) : plainCells(served, object, now);
  const conditions = maker?.conditions?.(object as never);
  const row: JsonObject = { cells };
  if (conditions) row.conditions = conditions as JsonObject[];
  if (include !== 'None')
    row.object =
      include === 'Object' ? (servedObject(served, stored) as JsonObject) : partialMetadata(object, version, served);
  else row.object = null;
  return row;
}

function plainCells(served: ServedResource, object: DeepReadonly<KubeObject>, now: number): Cell[] {
  const created = object.metadata?.creationTimestamp;
  return served.columns.map((c) => {
    if (c.format === 'name') return object.metadata?.name ?? '';
    if (c.name === 'Created At') return created ?? null;
    if (c.name === 'Age') return ageSince(created, now);
    return c.type === 'integer' || c.type === 'number' ? 0 : c.type === 'boolean' ? false : '';
  });
}

/** How long ago, as tables show it; `<unknown>` without a time. */
export function ageSince(time: string | undefined | null, now: number): string {
  if (!time) return '<unknown>';
  const at = Date.parse(time);
  return Number.isNaN(at) ? '<unknown>' : humanDuration(now - at);
}

/** A duration in at most two units: `8s`, `5m30s`, `3h`, `2d4h`, `1y20d`. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return minutes * 60 === seconds ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  if (hours < 192) return hours % 24 === 0 ? `${hours / 24}d` : `${Math.trunc(hours / 24)}d${hours % 24}h`;
  const days = Math.trunc(hours / 24);
  if (days < 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  if (days < 365 * 8) return days % 365 === 0 ? `${years}y` : `${years}y${days % 365}d`;
  return `${years}y`;
}
