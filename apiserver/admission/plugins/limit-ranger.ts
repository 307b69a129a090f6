/** LimitRanger: gives containers the namespace's default resources and refuses what is outside its bounds. */
import type * as k8s from '@kubernetes/client-node';
import { Quantity } from '../../../api/quantity.ts';
import type { Container, DeepReadonly, Json, PersistentVolumeClaim, Pod } from '../../../api/types.ts';
import { amounts, podTotals, type Amounts, type AmountTexts } from '../../../api/pod-resources.ts';
import { deny, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

type LimitRange = DeepReadonly<Json<k8s.V1LimitRange>>;
type Item = DeepReadonly<Json<k8s.V1LimitRangeItem>>;
const ANNOTATION = 'kubernetes.io/limit-ranger';

/** Fills in what the container leaves open; returns what was set, for the annotation. */
function setDefaults(c: Container, kind: string, requests: AmountTexts, limits: AmountTexts): string[] {
  const resources = (c.resources ??= {});
  const fill = (which: 'requests' | 'limits', defaults: AmountTexts, word: string): string[] => {
    const missing = Object.keys(defaults).filter((k) => resources[which]?.[k] === undefined);
    if (missing.length === 0) return [];
    resources[which] = { ...resources[which], ...Object.fromEntries(missing.map((k) => [k, defaults[k]!])) };
    return [`${missing.sort().join(', ')} ${word} for ${kind} ${c.name}`];
  };
  const setLimits = fill('limits', limits, 'limit');
  return [...fill('requests', requests, 'request'), ...setLimits];
}

function mutate(range: LimitRange, pod: Pod): void {
  const items = (range.spec?.limits ?? []).filter((l) => l.type === 'Container');
  const requests: AmountTexts = Object.assign({}, ...items.map((l) => l.defaultRequest ?? {}));
  const limits: AmountTexts = Object.assign({}, ...items.map((l) => l.default ?? {}));
  const set = [
    ...pod.spec!.containers.flatMap((c) => setDefaults(c, 'container', requests, limits)),
    ...(pod.spec!.initContainers ?? []).flatMap((c) => setDefaults(c, 'init container', requests, limits)),
  ];
  if (set.length === 0) return;
  const meta = (pod.metadata ??= {});
  meta.annotations = { ...meta.annotations, [ANNOTATION]: `LimitRanger plugin set: ${set.join('; ')}` };
}

interface Use {
  readonly requests: Amounts;
  readonly limits: Amounts;
}

function complaints(item: Item, use: Use): string[] {
  const { type } = item;
  const out: string[] = [];
  for (const [name, text] of Object.entries(item.min ?? {})) {
    const bound = Quantity.parse(text);
    const request = use.requests.get(name);
    const limit = use.limits.get(name);
    const head = `minimum ${name} usage per ${type} is ${text}`;
    if (!request) out.push(`${head}.  No request is specified`);
    else if (request.compare(bound) < 0) out.push(`${head}, but request is ${request.toString()}`);
    else if (limit && limit.compare(bound) < 0) out.push(`${head}, but limit is ${limit.toString()}`);
  }
  for (const [name, text] of Object.entries(item.max ?? {})) {
    const bound = Quantity.parse(text);
    const request = use.requests.get(name);
    const limit = use.limits.get(name);
    const head = `maximum ${name} usage per ${type} is ${text}`;
    if (type === 'PersistentVolumeClaim') {
      if (!request) out.push(`${head}.  No request is specified`);
      else if (request.compare(bound) > 0) out.push(`${head}, but request is ${request.toString()}`);
    } else if (!limit) out.push(`${head}.  No limit is specified`);
    else if (limit.compare(bound) > 0) out.push(`${head}, but limit is ${limit.toString()}`);
    else if (request && request.compare(bound) > 0) out.push(`${head}, but request is ${request.toString()}`);
  }
  if (type === 'PersistentVolumeClaim') return out;
  for (const [name, text] of Object.entries(item.maxLimitRequestRatio ?? {})) {
    const request = use.requests.get(name);
    const limit = use.limits.get(name);
    const head = `${name} max limit to request ratio per ${type} is ${text}`;
    if (!request || request.isZero) out.push(`${head}, but no request is specified or request is 0`);
    else if (!limit || limit.isZero) out.push(`${head}, but no limit is specified or limit is 0`);
    else {
      const ratio = limit.asNumber() / request.asNumber();
      if (ratio > Quantity.parse(text).asNumber()) out.push(`${head}, but provided ratio is ${ratio.toFixed(6)}`);
    }
  }
  return out;
}

function validatePod(range: LimitRange, pod: DeepReadonly<Pod>): string[] {
  const out: string[] = [];
  const spec = pod.spec!;
  for (const item of range.spec?.limits ?? []) {
    if (item.type === 'Container') {
      for (const c of [...spec.containers, ...(spec.initContainers ?? [])]) {
        out.push(
          ...complaints(item, { requests: amounts(c.resources?.requests), limits: amounts(c.resources?.limits) }),
        );
      }
    } else if (item.type === 'Pod') {
      out.push(
        ...complaints(item, { requests: podTotals(spec, 'requests', false), limits: podTotals(spec, 'limits', false) }),
      );
    }
  }
  return out;
}

function validateClaim(range: LimitRange, claim: DeepReadonly<PersistentVolumeClaim>): string[] {
  const use: Use = { requests: amounts(claim.spec?.resources?.requests), limits: new Map() };
  return (range.spec?.limits ?? [])
    .filter((l) => l.type === 'PersistentVolumeClaim')
    .flatMap((l) => complaints(l, use));
}

export const limitRanger: PluginFactory = ({ reader }) => {
  /** What is judged; undefined for anything else. Containers of a stored pod can only change by a resize. */
  function subject(a: AdmissionAttributes): 'pods' | 'persistentvolumeclaims' | undefined {
    if (a.resource.group !== '' || !a.object || a.oldObject?.metadata?.deletionTimestamp) return undefined;
    if (a.resource.resource === 'pods') {
      const resize = a.operation === 'UPDATE' && a.subresource === 'resize';
      return resize || (a.operation === 'CREATE' && a.subresource === '') ? 'pods' : undefined;
    }
    return a.resource.resource === 'persistentvolumeclaims' && a.subresource === ''
      ? 'persistentvolumeclaims'
      : undefined;
  }
  const ranges = (a: AdmissionAttributes) =>
    reader.list<Json<k8s.V1LimitRange>>('limitranges', a.namespace) as LimitRange[];
  return {
    name: 'LimitRanger',
    handles: (operation) => operation === 'CREATE' || operation === 'UPDATE',
    admit(a) {
      if (subject(a) !== 'pods' || !(a.object as Pod).spec?.containers) return;
      for (const range of ranges(a)) mutate(range, a.object as Pod);
    },
    validate(a) {
      const kind = subject(a);
      if (!kind) return;
      for (const range of ranges(a)) {
        const problems =
          kind === 'pods'
            ? validatePod(range, a.object as DeepReadonly<Pod>)
            : validateClaim(range, a.object as DeepReadonly<PersistentVolumeClaim>);
        if (problems.length)
          throw deny(a, problems.length === 1 ? problems[0]! : `[${[...new Set(problems)].join(', ')}]`);
      }
    },
  };
};
