/** Whether an aggregated server can be reached: what the condition Available says, and why. */
import type { DeepReadonly, EndpointSlice, Service } from '../../../api/types.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import type { RemoteServer } from './backend.ts';
import type { APIService } from './types.ts';

export interface Verdict {
  status: 'True' | 'False';
  reason: string;
  message: string;
}

const no = (reason: string, message: string): Verdict => ({ status: 'False', reason, message });

/** Looks at the Service and its endpoints, then asks the server itself. */
export async function checkAvailability(
  reader: ObjectReader,
  remote: RemoteServer,
  signal: AbortSignal,
): Promise<Verdict> {
  const found = checkService(reader, remote.service);
  return found ?? askServer(remote, signal);
}

function checkService(reader: ObjectReader, api: DeepReadonly<APIService>): Verdict | undefined {
  const { name = '', namespace = '', port = 443 } = api.spec?.service ?? {};
  const where = `service/${name} in ${JSON.stringify(namespace)}`;
  const service = reader.get<Service>('services', namespace, name);
  if (!service) return no('ServiceNotFound', `${where} is not present`);
  if ((service.spec?.type ?? 'ClusterIP') !== 'ClusterIP') return undefined;
  const wanted = service.spec?.ports?.find((p) => p.port === port);
  if (!wanted) return no('ServicePortError', `${where} is not listening on port ${port}`);
  const slices = reader
    .list<EndpointSlice>('discovery.k8s.io/endpointslices', namespace)
    .filter((s) => s.metadata?.labels?.['kubernetes.io/service-name'] === name);
  if (slices.length === 0) return no('EndpointsNotFound', `cannot find endpointslices for ${where}`);
  const portName = wanted.name ?? '';
  const serves = slices.some(
    (s) =>
      (s.endpoints ?? []).some((e) => e.conditions?.ready !== false) &&
      (s.ports ?? []).some((p) => (p.name ?? '') === portName && p.port !== undefined),
  );
  return serves
    ? undefined
    : no(
        'MissingEndpoints',
        `endpointslices for ${where} have no addresses with port name ${JSON.stringify(portName)}`,
      );
}

const ATTEMPTS = 5;

/** Any 2xx for its group version will do; several tries at once may meet different endpoints. */
async function askServer(remote: RemoteServer, signal: AbortSignal): Promise<Verdict> {
  const { group, version } = remote.service.spec!;
  const path = `/apis/${group}/${version}`;
  const one = async () => {
    const { code } = await remote.get(path, 'application/json', signal);
    if (code < 200 || code >= 300) throw new Error(`bad status from ${path}: ${code}`);
  };
  try {
    await Promise.any(Array.from({ length: ATTEMPTS }, one));
    return { status: 'True', reason: 'Passed', message: 'all checks passed' };
  } catch (error) {
    const first = error instanceof AggregateError ? (error.errors[0] as Error) : (error as Error);
    return no('FailedDiscoveryCheck', `failing or missing response from ${path}: ${first.message}`);
  }
}
