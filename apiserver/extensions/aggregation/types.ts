/** APIService as this server works with it. */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../../api/types.ts';

export type APIService = Json<k8s.V1APIService>;
/** The key of APIServices in readers and writers. */
export const API_SERVICES = 'apiregistration.k8s.io/apiservices';

export const groupVersionOf = (a: DeepReadonly<APIService>): string =>
  `${a.spec?.group ?? ''}/${a.spec?.version ?? ''}`;
export const availability = (a: DeepReadonly<APIService>) => a.status?.conditions?.find((c) => c.type === 'Available');
export const isAvailable = (a: DeepReadonly<APIService>): boolean => availability(a)?.status === 'True';
