/** Accept and Content-Type: which form an answer takes, which form a body has. */
import { notAcceptable, unsupportedMediaType } from '../../api/status.ts';
import type { ApiRequest } from './request.ts';

export type Media = 'json' | 'yaml' | 'protobuf' | 'cbor';
export const MEDIA_TYPES: Record<Media, string> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: 'application/vnd.kubernetes.protobuf',
  cbor: 'application/cbor',
};

/** The form of an answer. */
export interface View {
  readonly media: Exclude<Media, 'cbor'>;
  /** What the object is turned into; '' for itself. */
  readonly as: '' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';
  /** The version of meta.k8s.io that `as` is in. */
  readonly asVersion: 'v1' | 'v1beta1';
  readonly pretty: boolean;
  /** Distinguishes views that have different bytes. */
  readonly key: string;
}

interface Clause {
  type: string;
  subtype: string;
  params: Record<string, string>;
  q: number;
}

const JSON_VIEW: View = { media: 'json', as: '', asVersion: 'v1', pretty: false, key: 'json' };
const parsed = new Map<string, Clause[]>();

/** The clauses of an Accept header, the most wanted first. */
export function parseAccept(header: string): Clause[] {
  const cached = parsed.get(header);
  if (cached) return cached;
  const clauses: Clause[] = [];
  for (const part of header.split(',')) {
    const [range, ...rest] = part.split(';');
    const slash = range!.indexOf('/');
    let type = range!.trim();
    let subtype = '*';
    if (slash >= 0) {
      type = range!.slice(0, slash).trim().toLowerCase();
      subtype = range!
        .slice(slash + 1)
        .trim()
        .toLowerCase();
    } else if (type !== '*') continue;
    const params: Record<string, string> = {};
    let q = 1;
    for (const p of rest) {
      const eq = p.indexOf('=');
      if (eq < 0) continue;
      const name = p.slice(0, eq).trim().toLowerCase();
      const value = p.slice(eq + 1).trim();
      if (name === 'q') q = Number(value) || 0;
      else params[name] = value;
    }
    clauses.push({ type, subtype, params, q });
  }
  const sorted = clauses
    .map((c, i) => ({ c, i }))
    .sort((a, b) => b.c.q - a.c.q || a.i - b.i)
    .map((x) => x.c);
  if (parsed.size > 1000) parsed.clear();
  parsed.set(header, sorted);
  return sorted;
}

function mediaOf(c: Clause): View['media'] | undefined {
  if (c.type === '*' && c.subtype === '*') return 'json';
  if (c.type !== 'application') return undefined;
  switch (c.subtype) {
    case 'json':
      return 'json';
    case 'yaml':
      return 'yaml';
    case 'vnd.kubernetes.protobuf':
      return 'protobuf';
    default:
      return undefined;
  }
}

/** What an endpoint can answer with. */
export interface Offer {
  /** `as=Table` and `as=PartialObjectMetadata` may be asked for. */
  readonly transforms: boolean;
  /** `metadata`: only of what objects are turned into. */
  readonly protobuf: boolean | 'metadata';
  /** Streams are not in YAML. */
  readonly watch?: boolean;
}

/** Chooses the answer's form; throws 406 when nothing fits. */
export function negotiate(request: ApiRequest, offer: Offer): View {
  const header = request.header('accept');
  const pretty = wantsPretty(request);
  if ((header === undefined || header === '' || header === 'application/json' || header === '*/*') && !pretty)
    return JSON_VIEW;
  let known = false;
  for (const c of parseAccept(header ?? '*/*')) {
    const media = mediaOf(c);
    if (media === undefined || (media === 'yaml' && offer.watch) || (media === 'protobuf' && !offer.protobuf)) continue;
    known = true;
    const as = c.params['as'] ?? '';
    if (as === '' && media === 'protobuf' && offer.protobuf === 'metadata') {
      known = true;
      continue;
    }
    if (as === '') return { media, as: '', asVersion: 'v1', pretty, key: pretty ? `${media}+pretty` : media };
    if (!offer.transforms || (media === 'protobuf' && as === 'Table')) continue;
    const version = c.params['v'];
    if (c.params['g'] !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) continue;
    if (as !== 'Table' && as !== 'PartialObjectMetadata' && as !== 'PartialObjectMetadataList') continue;
    return { media, as, asVersion: version, pretty, key: `${media}/${as}/${version}${pretty ? '+pretty' : ''}` };
  }
  const error = notAcceptable(
    `only the following media types are accepted: ${['application/json', ...(offer.watch ? [] : ['application/yaml']), ...(offer.protobuf ? ['application/vnd.kubernetes.protobuf'] : [])].join(', ')}`,
  );
  // A known media type in a form that isn't offered is refused at another place upstream.
  if (known) delete error.status.details;
  throw error;
}

/** Errors go out in a plain form that the client reads; where it names none they are indented, as upstream does. */
export function negotiateError(request: ApiRequest): View {
  const pretty = wantsPretty(request);
  for (const c of parseAccept(request.header('accept') || '*/*')) {
    const media = mediaOf(c);
    if (media === undefined || c.params['as'] || c.params['stream']) continue;
    return { ...JSON_VIEW, media, pretty, key: pretty ? `${media}+pretty` : media };
  }
  return { ...JSON_VIEW, pretty: true, key: 'json+pretty' };
}

/** Whether JSON is to be indented: as asked, else for programs in front of which people sit. */
export function wantsPretty(request: ApiRequest): boolean {
  if (request.rawQuery.includes('pretty=')) {
    const v = request.query.get('pretty');
    if (v !== null) return v === '' || !(v === '0' || v.toLowerCase() === 'false');
  }
  const agent = request.header('user-agent');
  return (
    agent !== undefined && (agent.startsWith('curl') || agent.startsWith('Wget') || agent.startsWith('Mozilla/5.0'))
  );
}

/** The form of a request's body; absent means JSON. Throws 415. */
export function bodyMedia(request: ApiRequest, protobuf: boolean): Exclude<Media, 'cbor'> {
  const header = request.header('content-type');
  if (header === undefined || header === '') return 'json';
  const type = header.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/json') return 'json';
  if (type === 'application/yaml') return 'yaml';
  if (type === 'application/vnd.kubernetes.protobuf' && protobuf) return 'protobuf';
  throw unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml${protobuf ? ', application/vnd.kubernetes.protobuf' : ''}`,
  );
}
