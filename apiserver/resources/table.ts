/** Pieces of table cells that many kinds show. */
import type { Container, DeepReadonly, LabelSelector, PodSpec } from '../../api/types.ts';
import { formatLabelSelector } from '../../api/selectors.ts';

export const NONE = '<none>';
export const UNSET = '<unset>';
export const UNKNOWN = '<unknown>';

/** A duration as people read it: `5s`, `3m20s`, `2d4h`, `3y40d`. */
export function humanDuration(ms: number): string {
  const s = Math.trunc(ms / 1000);
  if (s < -1) return '<invalid>';
  if (s < 0) return '0s';
  if (s < 120) return `${s}s`;
  const m = Math.trunc(s / 60);
  if (m < 10) return s % 60 === 0 ? `${m}m` : `${m}m${s % 60}s`;
  if (m < 180) return `${m}m`;
  const h = Math.trunc(m / 60);
  if (h < 8) return m % 60 === 0 ? `${h}h` : `${h}h${m % 60}m`;
  if (h < 48) return `${h}h`;
  if (h < 192) return h % 24 === 0 ? `${Math.trunc(h / 24)}d` : `${Math.trunc(h / 24)}d${h % 24}h`;
  if (h < 24 * 365 * 2) return `${Math.trunc(h / 24)}d`;
  const days = Math.trunc(h / 24);
  const y = Math.trunc(days / 365);
  if (h < 24 * 365 * 8) return days % 365 === 0 ? `${y}y` : `${y}y${days % 365}d`;
  return `${y}y`;
}

/** The time since `timestamp`, `<unknown>` when there is none. */
export function since(timestamp: string | undefined, now: number): string {
  return timestamp ? humanDuration(now - Date.parse(timestamp)) : UNKNOWN;
}

/** The age of an object. */
export const age = (object: { readonly metadata?: { readonly creationTimestamp?: string } }, now: number) =>
  since(object.metadata?.creationTimestamp, now);

export const nameOf = (object: { readonly metadata?: { readonly name?: string } }) => object.metadata?.name ?? '';
export const orNone = (text: string | undefined) => (text ? text : NONE);

/** Names and images of a pod's containers, as two cells. */
export function containerCells(spec: DeepReadonly<Pick<PodSpec, 'containers'>> | undefined): [string, string] {
  const list = (spec?.containers ?? []) as readonly DeepReadonly<Container>[];
  return [list.map((c) => c.name).join(','), list.map((c) => c.image ?? '').join(',')];
}

/** A selector as one cell. */
export function selectorCell(selector: DeepReadonly<LabelSelector> | undefined): string {
  return selector === undefined ? NONE : formatLabelSelector(selector) || NONE;
}

/** A set of labels as one cell. */
export function labelsCell(labels: Readonly<Record<string, string>> | undefined): string {
  const keys = Object.keys(labels ?? {}).sort();
  return keys.length === 0 ? NONE : keys.map((k) => `${k}=${labels?.[k]}`).join(',');
}
