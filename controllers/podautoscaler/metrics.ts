/** Reads the metrics APIs: metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io. */
import { Quantity } from '../../api/quantity.ts';
import type { Client } from '../../client/client.ts';
import { meta } from '../lib/meta.ts';
import type { PodView } from '../lib/pods.ts';
import type { Sample } from './replicas.ts';

interface PodMetrics {
  metadata?: { name?: string };
  timestamp?: string;
  window?: string;
  containers?: { name: string; usage: Record<string, string> }[];
}
interface MetricValue {
  describedObject?: { name?: string };
  timestamp?: string;
  windowSeconds?: number;
  value: string;
}

/** A quantity in thousandths. */
export function milli(text: string | undefined): number {
  const q = Quantity.tryParse(text ?? '');
  return q ? q.asNumber() * 1000 : 0;
}

const seconds = (text: string | undefined) =>
  /^([0-9.]+)s$/.exec(text ?? '')?.[1] ? Number(/^([0-9.]+)s$/.exec(text!)![1]) * 1000 : 60_000;

/** Says before what went wrong where it did. */
export async function because<T>(prefix: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`${prefix}: ${(error as Error).message}`, { cause: error });
  }
}
const fetched = <T>(api: string, request: Promise<T>) =>
  because(`unable to fetch metrics from ${api} metrics API`, () => request);

/** What the pods use of a resource, or one container of each. */
export async function resourceSamples(
  client: Client,
  namespace: string,
  selector: string,
  resource: string,
  container?: string,
): Promise<Map<string, Sample>> {
  const list = await fetched(
    'resource',
    client.request<{ items?: PodMetrics[] | null }>({
      path: `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods`,
      query: { labelSelector: selector },
    }),
  );
  const items = list.items ?? [];
  if (items.length === 0) throw new Error('no metrics returned from resource metrics API');
  const out = new Map<string, Sample>();
  for (const m of items) {
    const parts = (m.containers ?? []).filter((c) => container === undefined || c.name === container);
    if (parts.length === 0 || parts.some((c) => c.usage[resource] === undefined)) continue;
    out.set(m.metadata?.name ?? '', {
      value: parts.reduce((n, c) => n + milli(c.usage[resource]), 0),
      at: Date.parse(m.timestamp ?? ''),
      window: seconds(m.window),
    });
  }
  return out;
}

/** What a pod requests of a resource, in thousandths. @throws when a container requests nothing. */
export function requestOf(pod: PodView, resource: string, container?: string): number {
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === 'Always');
  let sum = 0;
  const all = [...(pod.spec?.containers ?? []), ...sidecars].filter(
    (c) => container === undefined || c.name === container,
  );
  if (container === undefined && pod.spec?.resources?.requests?.[resource] !== undefined)
    return milli(pod.spec.resources.requests[resource]);
  for (const c of all) {
    const request = c.resources?.requests?.[resource];
    if (request === undefined)
      throw new Error(`missing request for ${resource} in container ${c.name} of Pod ${meta(pod).name}`);
    sum += milli(request);
  }
  return sum;
}

/** A custom metric of each pod. */
export async function podSamples(
  client: Client,
  namespace: string,
  selector: string,
  metric: string,
  metricSelector: string,
): Promise<Map<string, Sample>> {
  const list = await fetched(
    'custom',
    client.request<{ items?: MetricValue[] | null }>({
      path: `/apis/custom.metrics.k8s.io/v1beta2/namespaces/${namespace}/pods/*/${metric}`,
      query: { labelSelector: selector, metricLabelSelector: metricSelector },
    }),
  );
  const out = new Map<string, Sample>();
  for (const m of list.items ?? [])
    out.set(m.describedObject?.name ?? '', {
      value: milli(m.value),
      at: Date.parse(m.timestamp ?? ''),
      window: (m.windowSeconds ?? 60) * 1000,
    });
  if (out.size === 0) throw new Error('no metrics returned from custom metrics API');
  return out;
}

/** A custom metric of one object, in thousandths. */
export async function objectValue(
  client: Client,
  namespace: string,
  resource: string,
  name: string,
  metric: string,
  metricSelector: string,
): Promise<number> {
  const list = await fetched(
    'custom',
    client.request<{ items?: MetricValue[] | null }>({
      path: `/apis/custom.metrics.k8s.io/v1beta2/namespaces/${namespace}/${resource}/${name}/${metric}`,
      query: { metricLabelSelector: metricSelector },
    }),
  );
  const first = list.items?.[0];
  if (!first) throw new Error('no metrics returned from custom metrics API');
  return milli(first.value);
}

/** The sum of an external metric's values, in thousandths. */
export async function externalValue(
  client: Client,
  namespace: string,
  metric: string,
  metricSelector: string,
): Promise<number> {
  const list = await fetched(
    'external',
    client.request<{ items?: MetricValue[] | null }>({
      path: `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/${metric}`,
      query: { labelSelector: metricSelector },
    }),
  );
  if (!list.items?.length) throw new Error('no metrics returned from external metrics API');
  return list.items.reduce((n, m) => n + milli(m.value), 0);
}
