/** Audit events as audit.k8s.io/v1 has them. */
import { isIP } from 'node:net';
import { decodeJson } from '../../api/codec/json.ts';
import { decodeYaml } from '../../api/codec/yaml.ts';
import type { JsonObject, JsonValue } from '../../api/types.ts';
import type { UserInfo } from '../authentication/types.ts';
import { decodeProtobuf } from '../http/protobuf.ts';
import type { ApiRequest } from '../http/request.ts';
import type { Level, Stage } from './policy.ts';

/** An event without kind and apiVersion: as items of an EventList are. */
export interface AuditEvent {
  level: Level;
  auditID: string;
  stage: Stage;
  requestURI: string;
  verb: string;
  user: JsonObject;
  impersonatedUser?: JsonObject;
  sourceIPs?: string[];
  userAgent?: string;
  objectRef?: JsonObject;
  responseStatus?: JsonObject;
  requestObject?: JsonValue;
  responseObject?: JsonValue;
  requestReceivedTimestamp: string;
  stageTimestamp: string;
  annotations?: Record<string, string>;
}

/** Milliseconds since the epoch with six digits after the second. */
export function microTime(ms: number): string {
  const whole = Math.floor(ms);
  const micros = Math.floor((ms - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}

/** A user as events have it; fields without a value are left out. */
export function userOf(user: UserInfo): JsonObject {
  return {
    ...(user.name === '' ? {} : { username: user.name }),
    ...(user.uid ? { uid: user.uid } : {}),
    ...(user.groups.length > 0 ? { groups: [...user.groups] } : {}),
    ...(user.extra && Object.keys(user.extra).length > 0 ? { extra: user.extra as unknown as JsonObject } : {}),
  };
}

/** The client and the proxies before it, as the headers name them, and last the connection's other end. */
export function sourceIPs(request: ApiRequest): string[] {
  const ips: string[] = [];
  for (const part of request.header('x-forwarded-for')?.split(',') ?? []) {
    const ip = part.trim();
    if (isIP(ip)) ips.push(ip);
  }
  const real = request.header('x-real-ip')?.trim();
  if (real !== undefined && isIP(real) && !ips.includes(real)) ips.push(real);
  const peer = request.socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/, '');
  if (peer !== undefined && ips.at(-1) !== peer) ips.push(peer);
  return ips;
}

const MAX_USER_AGENT = 1024;

export const userAgentOf = (text: string): string =>
  text.length > MAX_USER_AGENT ? `${text.slice(0, MAX_USER_AGENT)}...TRUNCATED` : text;

/** The object that a request speaks of. */
export function objectRefOf(request: ApiRequest): JsonObject | undefined {
  const { info } = request;
  if (!info.isResourceRequest) return undefined;
  const ref: JsonObject = { resource: info.resource };
  if (info.namespace !== '') ref['namespace'] = info.namespace;
  if (info.name !== '') ref['name'] = info.name;
  if (info.apiGroup !== '') ref['apiGroup'] = info.apiGroup;
  ref['apiVersion'] = info.apiVersion;
  if (info.subresource !== '') ref['subresource'] = info.subresource;
  return ref;
}

/** A body of any media type as JSON; undefined when it can't be read. */
export function decodeBody(bytes: Buffer, type: string): JsonValue | undefined {
  if (bytes.length === 0) return undefined;
  try {
    if (type.includes('protobuf')) {
      const object = decodeProtobuf(bytes, { group: '', version: '', kind: '' });
      return object as unknown as JsonObject;
    }
    if (type.includes('yaml') && bytes[0] !== 0x7b) return decodeYaml(bytes.toString('utf8')).value;
    return decodeJson(bytes).value;
  } catch {
    return undefined;
  }
}

export const isObject = (v: JsonValue | undefined): v is JsonObject =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

/** Takes managed fields out of an object or of a list's items, in place. */
export function dropManagedFields(value: JsonValue | undefined): void {
  if (!isObject(value)) return;
  if (isObject(value['metadata'])) delete value['metadata']['managedFields'];
  if (Array.isArray(value['items']))
    for (const i of value['items']) if (isObject(i) && isObject(i['metadata'])) delete i['metadata']['managedFields'];
}
