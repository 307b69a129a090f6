/** Certificate signing requests, with endpoints of their own for approval and for the signed certificate. */
import { X509Certificate } from 'node:crypto';
import type * as k8s from '@kubernetes/client-node';
import { deepCopy, semanticEqual } from '../../../api/meta.ts';
import { formatSeconds } from '../../../api/time.ts';
import type { DeepReadonly, Json } from '../../../api/types.ts';
import { readPem } from '../../../base/der.ts';
import { parseCsr } from '../../../base/pki.ts';
import type { StrategyContext } from '../../registry/definition.ts';
import { define } from '../define.ts';
import { rules } from '../rules.ts';
import { age, humanDuration, nameOf, NONE } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { pathSegment } from '../validation/names.ts';
import { signerName } from '../validation/signers.ts';

type Request = Json<k8s.V1CertificateSigningRequest>;
type Old = DeepReadonly<Request>;
type Condition = Json<k8s.V1CertificateSigningRequestCondition>;

const USAGES = [
  'any',
  'cert sign',
  'client auth',
  'code signing',
  'content commitment',
  'crl sign',
  'data encipherment',
  'decipher only',
  'digital signature',
  'email protection',
  'encipher only',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'key agreement',
  'key encipherment',
  'microsoft sgc',
  'netscape sgc',
  'ocsp signing',
  's/mime',
  'server auth',
  'signing',
  'timestamping',
];
const LEGACY_SIGNER = 'kubernetes.io/legacy-unknown';
const DECISIONS = ['Approved', 'Denied'];
const ALWAYS_TRUE = [...DECISIONS, 'Failed'];

/** What is wrong with a request or a certificate, undefined when it is fine. */
function complaint(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (e) {
    return (e as Error).message;
  }
}
const badCertificate = (base64: string) =>
  complaint(() => {
    const text = Buffer.from(base64, 'base64').toString();
    const blocks = readPem(text);
    if (blocks.length === 0) throw new Error('must contain at least one CERTIFICATE PEM block');
    for (const b of blocks) {
      if (b.label !== 'CERTIFICATE')
        throw new Error(`only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(b.label)}`);
      new X509Certificate(b.der);
    }
    if (/-----BEGIN [^-]+-----\r?\n[^\n]*:/.test(text)) throw new Error('no PEM block headers are permitted');
  });

const ofType = (list: readonly DeepReadonly<Condition>[] | undefined, type: string) =>
  (list ?? []).filter((c) => c.type === type);
const repeated = (list: readonly string[]) => new Set(list).size !== list.length;

function conditions(f: Field<Condition[]>, old: Old | undefined): void {
  const before = old?.status?.conditions ?? [];
  const both = DECISIONS.every((t) => ofType(before, t).length > 0);
  const emptyTypes = before.some((c) => !c.type);
  const twice = repeated(before.map((c) => c.type));
  const seen = new Set<string>();
  f.each((c) => {
    const { type, status } = c.value!;
    if (!emptyTypes) c.get('type').required();
    if (!status) c.get('status').missing();
    else c.get('status').oneOf(ALWAYS_TRUE.includes(type) ? ['True'] : ['False', 'True', 'Unknown']);
    const other = DECISIONS[1 - DECISIONS.indexOf(type)];
    if (!both && DECISIONS.includes(type) && seen.has(other!))
      f.invalid('Approved and Denied conditions are mutually exclusive', type);
    if (!twice && seen.has(type)) c.get('type').duplicate();
    seen.add(type);
  });
}

function request(f: Field<Request>, old: Old | undefined): void {
  const s = f.get('spec');
  const text = s.get('request');
  const bad = complaint(() => parseCsr(Buffer.from(text.value ?? '', 'base64').toString()));
  if (bad !== undefined) text.invalid(bad);
  const stored = (old?.spec?.usages ?? []) as readonly string[];
  const usages = s.get('usages').required();
  if (stored.every((u) => USAGES.includes(u))) usages.each((u) => u.oneOf(USAGES));
  if (!repeated(stored)) usages.unique((u) => u);
  const signer = s.get('signerName');
  if (signer.value === LEGACY_SIGNER && old?.spec?.signerName !== LEGACY_SIGNER)
    signer.invalid('the legacy signerName is not allowed via this API version');
  else signer.requiredFormat(signerName);
  const seconds = s.get('expirationSeconds');
  if (seconds.isSet)
    seconds.check(seconds.value! >= 600, 'may not specify a duration less than 600 seconds (10 minutes)');
  conditions(f.get('status').get('conditions') as Field<Condition[]>, old);
  const certificate = f.get('status').get('certificate');
  const before = old?.status?.certificate;
  if (!certificate.value || (old && certificate.value === before) || (before && badCertificate(before))) return;
  const wrong = badCertificate(certificate.value);
  if (wrong) certificate.invalid(wrong, '<certificate data>');
}

/** What each endpoint may change beyond metadata. */
function changes(f: Field<Request>, old: Old, may: { decide?: boolean; issue?: boolean }): void {
  const list = f.get('status').get('conditions');
  for (const type of ALWAYS_TRUE) {
    const [before, now] = [ofType(old.status?.conditions, type), ofType(list.value as Condition[] | undefined, type)];
    if (now.length < before.length)
      list.forbidden(`updates may not remove a condition of type ${JSON.stringify(type)}`);
    else if (may.decide || !DECISIONS.includes(type)) continue;
    else if (now.length > before.length)
      list.forbidden(`updates may not add a condition of type ${JSON.stringify(type)}`);
    else if (!semanticEqual(before, now))
      list.forbidden(`updates may not modify a condition of type ${JSON.stringify(type)}`);
  }
  const certificate = f.get('status').get('certificate');
  const before = old.status?.certificate ?? '';
  if ((certificate.value ?? '') === before) return;
  if (!may.issue) certificate.forbidden('updates may not set certificate content');
  else if (before !== '') certificate.forbidden('updates may not modify existing certificate content');
}

const requestRules = (may: { decide?: boolean; issue?: boolean }) =>
  rules<Request>({
    scope: 'Cluster',
    name: pathSegment,
    always: (f, _ctx, old) => request(f, old),
    update: (f, old) => changes(f, old, may),
  });

/** Conditions get times where they have none. */
function stamp(r: Request, old: Old, ctx: StrategyContext): void {
  const now = formatSeconds(Math.floor(ctx.clock.now() / 1000));
  for (const c of (r.status?.conditions ?? []) as Condition[]) {
    c.lastUpdateTime ??= now;
    c.lastTransitionTime ??=
      ofType(old.status?.conditions, c.type).find((o) => o.status === c.status)?.lastTransitionTime ?? now;
  }
}

function prepareForCreate(r: Request, ctx: StrategyContext): void {
  const { username: _u, uid: _i, groups: _g, extra: _e, ...spec } = r.spec;
  const { name, uid, groups, extra } = ctx.user;
  r.spec = {
    ...spec,
    username: name,
    ...(uid ? { uid } : {}),
    ...(groups.length > 0 ? { groups: [...groups] } : {}),
    ...(extra && Object.keys(extra).length > 0
      ? { extra: Object.fromEntries(Object.entries(extra).map(([k, v]) => [k, [...v]])) }
      : {}),
  } as Request['spec'];
  r.status = {};
}

const copySpec = (r: Request, old: Old) => void (r.spec = deepCopy(old.spec) as Request['spec']);

export const certificateSigningRequests = define<Request>(
  'certificates.k8s.io',
  'certificatesigningrequests',
  'CertificateSigningRequest',
  'Cluster',
  {
    strategy: {
      resetFields: [['spec'], ['status']],
      prepareForCreate,
      prepareForUpdate(r, old) {
        copySpec(r, old);
        r.status = (deepCopy(old.status) ?? {}) as Request['status'];
      },
      ...requestRules({}),
    },
    subresources: {
      status: {
        type: 'update',
        strategy: {
          resetFields: [['spec'], ['status', 'conditions']],
          prepareForUpdate(r, old, ctx) {
            copySpec(r, old);
            const list = (r.status?.conditions ?? []) as Condition[];
            for (const type of DECISIONS) {
              const before = ofType(old.status?.conditions, type);
              if (ofType(list, type).length !== before.length) continue;
              let i = 0;
              list.forEach((c, at) => {
                if (c.type === type) list[at] = deepCopy(before[i++]!) as Condition;
              });
            }
            stamp(r, old, ctx);
          },
          validateUpdate: requestRules({ issue: true }).validateUpdate,
        },
      },
      approval: {
        type: 'update',
        strategy: {
          resetFields: [['spec'], ['status', 'certificate']],
          prepareForUpdate(r, old, ctx) {
            stamp(r, old, ctx);
            copySpec(r, old);
            const { conditions: list } = r.status ?? {};
            r.status = { ...(deepCopy(old.status) as Request['status']), conditions: list };
            if (list === undefined) delete r.status.conditions;
          },
          validateUpdate: requestRules({ decide: true }).validateUpdate,
        },
      },
    },
    selectableFields: (r) => ({ 'spec.signerName': r.spec?.signerName ?? '' }),
    table: {
      cells(r, now) {
        const has = (t: string) => ofType(r.status?.conditions, t).length > 0;
        const decision = has('Denied') ? 'Denied' : has('Approved') ? 'Approved' : 'Pending';
        const seconds = r.spec?.expirationSeconds;
        return [
          nameOf(r),
          age(r, now),
          r.spec?.signerName || NONE,
          r.spec?.username ?? '',
          seconds === undefined ? NONE : humanDuration(seconds * 1000),
          decision + (has('Failed') ? ',Failed' : '') + (r.status?.certificate ? ',Issued' : ''),
        ];
      },
    },
  },
);
