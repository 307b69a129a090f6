/** Keeps events within a size: objects go first, then the event. */
import { encodeJson } from '../../api/codec/json.ts';
import type { AuditEvent } from './event.ts';

/** The event's JSON within `max` bytes; undefined when it is too long even without its objects. */
export function truncated(event: AuditEvent, json: string, max: number): string | undefined {
  if (json.length <= max && Buffer.byteLength(json) <= max) return json;
  const { requestObject: _request, responseObject: _response, ...rest } = event;
  const cut = encodeJson({ ...rest, annotations: { ...rest.annotations, 'audit.k8s.io/truncated': 'true' } });
  return Buffer.byteLength(cut) <= max ? cut : undefined;
}
