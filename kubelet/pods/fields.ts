/** fieldRef and resourceFieldRef: parts of the pod shown to its containers. */
import type { Container, DeepReadonly, Pod } from '../../api/types.ts';
import { withPodLimits } from './resize.ts';
import { milliCpu, parseQuantity, wholeValue } from '../quantity.ts';

type ReadPod = DeepReadonly<Pod>;

/** A map as it stands in a downward API file: key="value" lines, sorted. */
function formatMap(map: DeepReadonly<Record<string, string>> | undefined): string {
  return Object.keys(map ?? {})
    .sort()
    .map((k) => `${k}=${quote(map![k]!)}`)
    .join('\n');
}

/** A Go-quoted string. */
function quote(s: string): string {
  return JSON.stringify(s).replaceAll('\\u2028', '\u2028').replaceAll('\\u2029', '\u2029').replaceAll('\\b', '\\b');
}

const SUBSCRIPT = /^metadata\.(labels|annotations)\['(.*)'\]$/;

/** The value of a field path; undefined for a path that isn't offered. */
export function podField(
  pod: ReadPod,
  path: string,
  network: { podIPs: readonly string[]; hostIPs: readonly string[] },
): string | undefined {
  const m = SUBSCRIPT.exec(path);
  if (m) return (m[1] === 'labels' ? pod.metadata?.labels : pod.metadata?.annotations)?.[m[2]!] ?? '';
  switch (path) {
    case 'metadata.name':
      return pod.metadata!.name!;
    case 'metadata.namespace':
      return pod.metadata!.namespace!;
    case 'metadata.uid':
      return pod.metadata!.uid!;
    case 'metadata.labels':
      return formatMap(pod.metadata!.labels);
    case 'metadata.annotations':
      return formatMap(pod.metadata!.annotations);
    case 'spec.nodeName':
      return pod.spec!.nodeName ?? '';
    case 'spec.serviceAccountName':
      return pod.spec!.serviceAccountName ?? '';
    case 'status.hostIP':
      return network.hostIPs[0] ?? '';
    case 'status.hostIPs':
      return network.hostIPs.join(',');
    case 'status.podIP':
      return network.podIPs[0] ?? '';
    case 'status.podIPs':
      return network.podIPs.join(',');
    default:
      return undefined;
  }
}

/**
 * A container's limit or request divided by the divisor, rounded up; limits fall back to the pod's, then to what the node
 * has.
 */
export function resourceField(
  pod: ReadPod,
  container: DeepReadonly<Container>,
  resource: string,
  divisor: string | undefined,
  allocatable: DeepReadonly<Record<string, string>>,
): string {
  const dot = resource.indexOf('.');
  const list = resource.slice(0, dot);
  const name = resource.slice(dot + 1);
  if (list !== 'limits' && list !== 'requests') throw new Error(`unsupported container resource : ${resource}`);
  let value = withPodLimits(container.resources, pod.spec!.resources)?.[list]?.[name];
  if (value === undefined && list === 'limits') value = allocatable[name];
  if (value === undefined && list === 'requests') value = container.resources?.limits?.[name] ?? '0';
  if (name === 'cpu') {
    const by = divisor && divisor !== '0' ? milliCpu(divisor) : 1000;
    return String(Math.ceil(milliCpu(value ?? '0') / by));
  }
  const by = divisor && divisor !== '0' ? parseQuantity(divisor) : 1;
  return String(Math.ceil(wholeValue(value ?? '0') / by));
}
