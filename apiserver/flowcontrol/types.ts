/** What fair queuing knows of its objects and of a request (KEP-1040). */
import type * as k8s from '@kubernetes/client-node';
import type { DeepReadonly, Json } from '../../api/types.ts';
import type { UserInfo } from '../authentication/types.ts';
import type { RequestInfo } from '../http/request-info.ts';

export type FlowSchema = DeepReadonly<Json<k8s.V1FlowSchema>>;
export type PriorityLevelConfiguration = DeepReadonly<Json<k8s.V1PriorityLevelConfiguration>>;

/** What a request is classified by. */
export interface RequestDigest {
  readonly info: RequestInfo;
  readonly user: UserInfo;
}

/** The seats that a request takes. */
export interface WorkEstimate {
  /** While it is executed. */
  readonly initialSeats: number;
  /** Afterwards, while watchers are told of it. */
  readonly finalSeats: number;
  /** How long the final seats are held, in milliseconds. */
  readonly additionalMs: number;
}

export const ONE_SEAT: WorkEstimate = { initialSeats: 1, finalSeats: 0, additionalMs: 0 };
