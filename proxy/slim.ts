/** Leaves of Services and EndpointSlices only what rules are made of: a node may have to hold ten thousands of them. */
import type { DeepReadonly, EndpointSlice, Namespace, Service } from '../api/types.ts';

const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';
const SERVICE_NAME = 'kubernetes.io/service-name';
export const HEADLESS = 'service.kubernetes.io/headless';
const PROXY_LABELS = ['service.kubernetes.io/service-proxy-name', HEADLESS];

/** One copy of texts that come again and again. */
const texts = new Map<string, string>();
function shared(text: string): string {
  const have = texts.get(text);
  if (have !== undefined) return have;
  if (texts.size < 10_000) texts.set(text, text);
  return text;
}

export function slimService(s: Service): Service {
  const { name, namespace, uid, resourceVersion, labels = {} } = s.metadata ?? {};
  const kept = Object.fromEntries(PROXY_LABELS.filter((l) => l in labels).map((l) => [l, labels[l]!]));
  const { selector: _selector, ...spec } = s.spec ?? {};
  return {
    metadata: { name, namespace, uid, resourceVersion, ...(Object.keys(kept).length ? { labels: kept } : {}) },
    spec,
    ...(s.status?.loadBalancer?.ingress ? { status: { loadBalancer: s.status.loadBalancer } } : {}),
  };
}

/** When what led to a slice's newest state happened, in ms since the epoch; undefined when that is not told. */
export function triggerTime(s: DeepReadonly<EndpointSlice>): number | undefined {
  const at = Date.parse(s.metadata?.annotations?.[TRIGGER_TIME] ?? '');
  return at >= 0 ? at : undefined;
}

/** `since` (ms since the epoch): when a slice's state was caused is kept when it was later. */
export function slimSlice(s: EndpointSlice, since = Infinity): EndpointSlice {
  const { name, namespace, uid, resourceVersion, labels, annotations } = s.metadata ?? {};
  const triggered = (triggerTime(s) ?? 0) > since;
  return {
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      ...(triggered ? { annotations: { [TRIGGER_TIME]: annotations![TRIGGER_TIME]! } } : {}),
      labels: {
        [SERVICE_NAME]: labels?.[SERVICE_NAME] ?? '',
        ...(labels && HEADLESS in labels ? { [HEADLESS]: '' } : {}),
      },
    },
    addressType: s.addressType,
    ports: s.ports,
    endpoints: (s.endpoints ?? []).map((e) => {
      const c = e.conditions;
      const plain = c?.ready === true && c.serving !== false && c.terminating !== true;
      return {
        addresses: e.addresses,
        ...(e.hostname === undefined ? {} : { hostname: e.hostname }),
        ...(plain || !c ? {} : { conditions: c }),
        ...(e.nodeName === undefined ? {} : { nodeName: shared(e.nodeName) }),
        ...(e.hints ? { hints: e.hints } : {}),
      };
    }),
  };
}

export const slimNamespace = (n: Namespace): Namespace => ({
  metadata: { name: n.metadata?.name, uid: n.metadata?.uid, resourceVersion: n.metadata?.resourceVersion },
});
