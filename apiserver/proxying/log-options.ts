/** PodLogOptions in a query: checked here, handed to the kubelet under the same names. */
import { forbiddenField, invalid, invalidObject, type FieldError } from '../../api/field-errors.ts';
import { badRequest } from '../../api/status.ts';

const INTEGERS = { sinceSeconds: 1, tailLines: 0, limitBytes: 1 } as const;
const BOOLEANS = ['follow', 'previous', 'timestamps', 'insecureSkipTLSVerifyBackend'] as const;

/** The kubelet's query; 422 for values out of range, 400 for what can't be read. */
export function checkLogOptions(query: URLSearchParams, pod: string): URLSearchParams {
  const out = new URLSearchParams();
  const errors: FieldError[] = [];
  for (const [name, least] of Object.entries(INTEGERS)) {
    const text = query.get(name);
    if (text === null || text === '') continue;
    if (!/^[+-]?\d+$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
    const n = Number(text);
    if (n < least)
      errors.push(invalid(name, n, least === 0 ? 'must be greater than or equal to 0' : 'must be greater than 0'));
    out.set(name, String(n));
  }
  const sinceTime = query.get('sinceTime');
  if (sinceTime) {
    if (Number.isNaN(Date.parse(sinceTime)))
      throw badRequest(`parsing time ${JSON.stringify(sinceTime)}: not an RFC 3339 time`);
    if (out.has('sinceSeconds'))
      errors.push(forbiddenField('[]', 'at most one of `sinceTime` or `sinceSeconds` may be specified'));
    out.set('sinceTime', sinceTime);
  }
  for (const name of BOOLEANS) {
    const text = query.get(name);
    if (text !== null && text !== 'false' && text !== '0') out.set(name, 'true');
  }
  const stream = query.get('stream');
  // PodLogsQuerySplitStreams is alpha, and off.
  if (stream !== null) errors.push(forbiddenField('stream', 'may not be specified'));
  if (errors.length) throw invalidObject({ group: '', kind: 'PodLogOptions' }, pod, errors);
  return out;
}
