/**
 * The messages and fields of etcd's gRPC API (v3) that we use, with their numbers.
 * Fields that are not named here are skipped when read; everything named is in etcd 3.4 and 3.6 alike.
 */
import { createMessages, type FieldSpec } from './messages.ts';

const MESSAGES: Record<string, Record<string, FieldSpec>> = {
  Header: { revision: ['int64', 3] },
  KeyValue: { key: ['bytes', 1], modRevision: ['int64', 3], value: ['bytes', 5] },
  RangeRequest: {
    key: ['bytes', 1],
    rangeEnd: ['bytes', 2],
    limit: ['int64', 3],
    revision: ['int64', 4],
    keysOnly: ['bool', 8],
    countOnly: ['bool', 9],
  },
  RangeResponse: {
    header: ['Header', 1],
    kvs: ['KeyValue', 2, 'repeated'],
    more: ['bool', 3],
    count: ['int64', 4],
  },
  PutRequest: { key: ['bytes', 1], value: ['bytes', 2], lease: ['int64', 3] },
  DeleteRangeRequest: { key: ['bytes', 1] },
  RequestOp: {
    requestRange: ['RangeRequest', 1],
    requestPut: ['PutRequest', 2],
    requestDeleteRange: ['DeleteRangeRequest', 3],
  },
  ResponseOp: { responseRange: ['RangeResponse', 1] },
  /** result: 0 is "equal"; target: 2 is the revision of the last change. */
  Compare: { result: ['int32', 1], target: ['int32', 2], key: ['bytes', 3], modRevision: ['int64', 6] },
  TxnRequest: {
    compare: ['Compare', 1, 'repeated'],
    success: ['RequestOp', 2, 'repeated'],
    failure: ['RequestOp', 3, 'repeated'],
  },
  TxnResponse: { header: ['Header', 1], succeeded: ['bool', 2], responses: ['ResponseOp', 3, 'repeated'] },
  CompactionRequest: { revision: ['int64', 1] },
  CompactionResponse: { header: ['Header', 1] },
  WatchCreateRequest: {
    key: ['bytes', 1],
    rangeEnd: ['bytes', 2],
    startRevision: ['int64', 3],
    prevKv: ['bool', 6],
    fragment: ['bool', 8],
  },
  WatchRequest: { createRequest: ['WatchCreateRequest', 1] },
  /** type: 0 put, 1 delete. */
  Event: { type: ['int32', 1], kv: ['KeyValue', 2], prevKv: ['KeyValue', 3] },
  WatchResponse: {
    header: ['Header', 1],
    created: ['bool', 3],
    canceled: ['bool', 4],
    compactRevision: ['int64', 5],
    cancelReason: ['string', 6],
    fragment: ['bool', 7],
    events: ['Event', 11, 'repeated'],
  },
  LeaseGrantRequest: { TTL: ['int64', 1] },
  LeaseGrantResponse: { header: ['Header', 1], ID: ['int64', 2], TTL: ['int64', 3] },
  StatusRequest: {},
  StatusResponse: { header: ['Header', 1], version: ['string', 2], dbSize: ['int64', 3] },
};

/** A 64-bit number; lease ids need all bits, so they are passed on as they came. */
export type Int64 = number | bigint;

/** A revision or count: always within a double's safe range. */
export function toNumber(v: Int64 | undefined): number {
  return Number(v ?? 0);
}

export interface Header {
  revision: Int64;
}
export interface KeyValue {
  key: Buffer;
  modRevision: Int64;
  value: Buffer;
}
export interface RangeRequest {
  key: Buffer;
  rangeEnd?: Buffer;
  limit?: number;
  revision?: number;
  keysOnly?: boolean;
  countOnly?: boolean;
}
export interface RangeResponse {
  header: Header;
  kvs: KeyValue[];
  more: boolean;
  count: Int64;
}
export interface RequestOp {
  requestRange?: RangeRequest;
  requestPut?: { key: Buffer; value: Buffer; lease?: Int64 };
  requestDeleteRange?: { key: Buffer };
}
export interface TxnRequest {
  compare: { result: 0; target: 2; key: Buffer; modRevision: number }[];
  success: RequestOp[];
  failure: RequestOp[];
}
export interface TxnResponse {
  header: Header;
  succeeded: boolean;
  responses: { responseRange?: RangeResponse }[];
}
export interface WatchRequest {
  createRequest: { key: Buffer; rangeEnd: Buffer; startRevision: number; prevKv: boolean; fragment: boolean };
}
export interface WatchResponse {
  header: Header;
  created: boolean;
  canceled: boolean;
  compactRevision: Int64;
  cancelReason: string;
  fragment: boolean;
  events: { type: number; kv: KeyValue; prevKv?: KeyValue | null }[];
}
export interface LeaseGrantResponse {
  ID: Int64;
  TTL: Int64;
}
export interface StatusResponse {
  version: string;
  dbSize: Int64;
}

/** How one method is called. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly serialize: (request: Request) => Buffer;
  readonly deserialize: (bytes: Buffer) => Response;
}

/** The methods we call. */
export interface EtcdMethods {
  range: Method<RangeRequest, RangeResponse>;
  txn: Method<TxnRequest, TxnResponse>;
  compact: Method<{ revision: number }, { header: Header }>;
  watch: Method<WatchRequest, WatchResponse>;
  leaseGrant: Method<{ TTL: number }, LeaseGrantResponse>;
  status: Method<object, StatusResponse>;
}

/** Builds the codecs. */
export function etcdMethods(): EtcdMethods {
  const messages = createMessages(MESSAGES);
  const method = <Request extends object, Response>(
    path: string,
    request: string,
    response: string,
  ): Method<Request, Response> => {
    const encoder = messages(request);
    const decoder = messages(response);
    return {
      path: `/etcdserverpb.${path}`,
      serialize: (r) => encoder.encode(r as Readonly<Record<string, unknown>>),
      deserialize: (b) => decoder.decode(b) as Response,
    };
  };
  return {
    range: method('KV/Range', 'RangeRequest', 'RangeResponse'),
    txn: method('KV/Txn', 'TxnRequest', 'TxnResponse'),
    compact: method('KV/Compact', 'CompactionRequest', 'CompactionResponse'),
    watch: method('Watch/Watch', 'WatchRequest', 'WatchResponse'),
    leaseGrant: method('Lease/LeaseGrant', 'LeaseGrantRequest', 'LeaseGrantResponse'),
    status: method('Maintenance/Status', 'StatusRequest', 'StatusResponse'),
  };
}
