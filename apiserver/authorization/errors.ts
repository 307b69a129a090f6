/** The Status for a request that authorization refused. */
import { StatusError, forbidden, type ResourceName } from '../../api/status.ts';
import type { AuthorizationAttributes } from './types.ts';

const HTML: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** `User "jo" cannot list resource "pods" in API group "" in the namespace "x"`. */
function forbiddenMessage(a: AuthorizationAttributes): string {
  const q = (s: string) => JSON.stringify(s);
  if (!a.resourceRequest) return `User ${q(a.user.name)} cannot ${a.verb} path ${q(a.path)}`;
  const resource = a.subresource === '' ? a.resource : `${a.resource}/${a.subresource}`;
  const where = a.namespace === '' ? 'at the cluster scope' : `in the namespace ${q(a.namespace)}`;
  return `User ${q(a.user.name)} cannot ${a.verb} resource ${q(resource)} in API group ${q(a.apiGroup)} ${where}`;
}

/** The 403 for these attributes; `reason` is the authorizers' own word, if any. */
export function forbiddenRequest(a: AuthorizationAttributes, reason = ''): StatusError {
  const text = forbiddenMessage(a).replace(/[&<>]/g, (c) => HTML[c]!);
  const why = reason === '' ? text : `${text}: ${reason}`;
  if (!a.resourceRequest) return new StatusError(403, 'Forbidden', `forbidden: ${why}`, {});
  const r: ResourceName = { group: a.apiGroup, resource: a.resource };
  return forbidden(r, a.name, why);
}
