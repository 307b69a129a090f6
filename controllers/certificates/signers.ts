/** Which certificate requests the built-in signers take, and for how long they sign. Pure. */
import type * as k8s from '@kubernetes/client-node';
import type { CsrInfo } from '../../base/pki.ts';
import type { DeepReadonly, Json } from '../../api/types.ts';

export type CSR = DeepReadonly<Json<k8s.V1CertificateSigningRequest>>;

const KUBELET_SERVING = 'kubernetes.io/kubelet-serving';
export const KUBELET_CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet';
const APISERVER_CLIENT = 'kubernetes.io/kube-apiserver-client';
const LEGACY_UNKNOWN = 'kubernetes.io/legacy-unknown';

/** Whether the usages are the required ones, with or without `key encipherment` (which only RSA keys need). */
function usagesAre(usages: readonly string[], required: string): boolean {
  const set = new Set(usages);
  set.delete('key encipherment');
  return set.size === 2 && set.has('digital signature') && set.has(required);
}

const quoted = (names: string[]) => `[${names.toSorted().join(' ')}]`;

function nodeSubjectProblem(csr: CsrInfo): string | undefined {
  const { organizations, commonName } = csr.subject;
  if (organizations.length !== 1 || organizations[0] !== 'system:nodes')
    return 'subject organization is not system:nodes';
  if (!commonName.startsWith('system:node:')) return 'subject common name does not begin with system:node:';
  return undefined;
}

/** Why a kubelet may not have this client certificate; undefined when it may. */
export function kubeletClientProblem(csr: CsrInfo, usages: readonly string[]): string | undefined {
  const { organizations, commonName } = csr.subject;
  if (organizations.length !== 1 || organizations[0] !== 'system:nodes')
    return 'subject organization is not system:nodes';
  if (csr.altNames.dns.length) return 'DNS subjectAltNames are not allowed';
  if (csr.altNames.email.length) return 'Email subjectAltNames are not allowed';
  if (csr.altNames.ip.length) return 'IP subjectAltNames are not allowed';
  if (csr.altNames.uri.length) return 'URI subjectAltNames are not allowed';
  if (!commonName.startsWith('system:node:')) return 'subject common name does not begin with system:node:';
  if (!usagesAre(usages, 'client auth'))
    return `usages did not match ${quoted(['digital signature', 'key encipherment', 'client auth'])}`;
  return undefined;
}

/** Why a kubelet may not have this serving certificate; undefined when it may. */
export function kubeletServingProblem(csr: CsrInfo, usages: readonly string[]): string | undefined {
  const problem = nodeSubjectProblem(csr);
  if (problem?.startsWith('subject organization')) return problem;
  if (csr.altNames.dns.length === 0 && csr.altNames.ip.length === 0) return 'DNS or IP subjectAltName is required';
  if (csr.altNames.email.length) return 'Email subjectAltNames are not allowed';
  if (csr.altNames.uri.length) return 'URI subjectAltNames are not allowed';
  if (!usagesAre(usages, 'server auth'))
    return `usages did not match ${quoted(['digital signature', 'key encipherment', 'server auth'])}`;
  return problem;
}

function apiserverClientProblem(usages: readonly string[]): string | undefined {
  for (const u of usages)
    if (u !== 'digital signature' && u !== 'key encipherment' && u !== 'client auth')
      return `invalid usage for client certificate: ${u}`;
  return usages.includes('client auth') ? undefined : 'missing required usage for client certificate: client auth';
}

/** By signer name: why a request is refused; signers not named here are somebody else's. */
export const SIGNERS: Readonly<Record<string, (csr: CsrInfo, usages: readonly string[]) => string | undefined>> = {
  [KUBELET_SERVING]: kubeletServingProblem,
  [KUBELET_CLIENT]: kubeletClientProblem,
  [APISERVER_CLIENT]: (_csr, usages) => apiserverClientProblem(usages),
  [LEGACY_UNKNOWN]: () => undefined,
};

const BACKDATE = 5 * 60_000;
const SHORT = 8 * 3600_000;
const SHORTEST = 10 * 60_000;

/** From when until when a certificate shall be valid, in milliseconds; backdated for clocks that lag. */
export function validity(
  now: number,
  longestMs: number,
  expirationSeconds: number | undefined,
  caNotAfter: number,
): { notBefore: number; notAfter: number } {
  const ttl =
    expirationSeconds === undefined ? longestMs : Math.min(Math.max(expirationSeconds * 1000, SHORTEST), longestMs);
  const notAfter = ttl < SHORT ? now + ttl : now + ttl - BACKDATE;
  return { notBefore: now - BACKDATE, notAfter: Math.min(notAfter, caNotAfter) };
}

/** Whether the request has a condition that is True. */
export function hasCondition(csr: CSR, type: string): boolean {
  return csr.status?.conditions?.some((c) => c.type === type && c.status === 'True') ?? false;
}
