/** How amounts, ages and states are shown. */
import { Quantity } from '../../api/quantity.ts';
import { h } from './dom.ts';

/** `3d4h`, `12m`: how long ago a time stamp was. */
export function age(stamp: string | undefined): string {
  if (!stamp) return '';
  const s = Math.max(0, Math.round((Date.now() - Date.parse(stamp)) / 1000));
  if (s < 120) return `${s}s`;
  if (s < 7200) return `${Math.floor(s / 60)}m`;
  if (s < 172_800) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}

/** A quantity as a number of its base unit (cores, bytes); 0 when it can't be read. */
export function amount(quantity: string | undefined): number {
  try {
    return quantity ? Number(Quantity.parse(quantity).nanos) / 1e9 : 0;
  } catch {
    return 0;
  }
}

export const cores = (n: number): string => (n < 10 ? n.toFixed(2) : n.toFixed(1));
export const mebibytes = (n: number): string =>
  n < 2 ** 30 ? `${Math.round(n / 2 ** 20)} MiB` : `${(n / 2 ** 30).toFixed(1)} GiB`;

const GOOD = /^(Running|Completed|Succeeded|Ready|Active|Bound|Normal|True|Complete|Available|Established|Approved.*)$/;
const BAD = /(Error|Fail|BackOff|NotReady|Evicted|Lost|Unknown|OOMKilled|Invalid|Warning)/;
const WAITING = /^(Pending|ContainerCreating|Terminating|PodInitializing|Init:.*|Released|SchedulingGated)$/;

/** A state in its colour. */
export function state(value: string): HTMLElement {
  const colour = BAD.test(value) ? 'bad' : GOOD.test(value) ? 'good' : WAITING.test(value) ? 'warn' : undefined;
  return h('span', { class: colour }, value);
}
