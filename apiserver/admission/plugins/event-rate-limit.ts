/** EventRateLimit: refuses events that come too fast, by server, namespace, user, or source and object. */
import { tooManyRequests } from '../../../api/status.ts';
import type { Clock } from '../../../base/clock.ts';
import type { EventLimit, PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

export const LIMIT_TYPES: readonly EventLimit['type'][] = ['Server', 'Namespace', 'User', 'SourceAndObject'];
const DEFAULT_CACHE = 4096;

interface EventParts {
  source?: { component?: string; host?: string };
  involvedObject?: Partial<Record<string, string>>;
}
const OBJECT_PARTS = ['kind', 'namespace', 'name', 'uid', 'apiVersion'];

function keyOf(type: EventLimit['type'], a: AdmissionAttributes): string {
  switch (type) {
    case 'Server':
      return '';
    case 'Namespace':
      return a.namespace;
    case 'User':
      return a.user.name;
    case 'SourceAndObject': {
      const { source, involvedObject } = (a.object ?? {}) as EventParts;
      const parts = [source?.component, source?.host, ...OBJECT_PARTS.map((p) => involvedObject?.[p])];
      return parts.map((p) => p ?? '').join('');
    }
  }
}

/** Token buckets by key; the one that was used least lately goes first. */
function createBuckets(limit: EventLimit, clock: Clock): (key: string) => boolean {
  const buckets = new Map<string, { tokens: number; at: number }>();
  const most = limit.cacheSize || DEFAULT_CACHE;
  return (key) => {
    const now = clock.monotonic();
    const bucket = buckets.get(key) ?? { tokens: limit.burst, at: now };
    bucket.tokens = Math.min(limit.burst, bucket.tokens + ((now - bucket.at) / 1000) * limit.qps);
    bucket.at = now;
    buckets.delete(key);
    buckets.set(key, bucket);
    if (buckets.size > most) buckets.delete(buckets.keys().next().value!);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  };
}

/** Without limits (no configuration) it lets everything through. */
export const eventRateLimit: PluginFactory = ({ clock, settings }) => {
  const limits = (settings.eventLimits ?? []).map((l) => ({ type: l.type, take: createBuckets(l, clock) }));
  return {
    name: 'EventRateLimit',
    handles: (operation) => limits.length > 0 && (operation === 'CREATE' || operation === 'UPDATE'),
    validate(a) {
      if (a.kind.kind !== 'Event' || a.kind.group !== '' || a.dryRun) return;
      const reached = limits.flatMap(({ type, take }) => {
        const key = keyOf(type, a);
        return take(key) ? [] : [`limit reached on type ${type} for key ${key}`];
      });
      if (reached.length === 0) return;
      throw tooManyRequests(`Too many requests: ${reached.length === 1 ? reached[0]! : `[${reached.join(', ')}]`}`);
    },
  };
};
