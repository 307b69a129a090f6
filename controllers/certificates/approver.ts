/** Approves client certificates that kubelets ask for, when RBAC says that the asker may have them. */
import { isNotFound } from '../../api/status.ts';
import { parseCsr, type CsrInfo } from '../../base/pki.ts';
import { certificateSigningRequests, subjectAccessReviews } from '../../client/resources.ts';
import type * as k8s from '@kubernetes/client-node';
import type { Json } from '../../api/types.ts';
import { formatTime } from '../../base/clock.ts';
import { defineController, type Deps } from '../framework.ts';
import { body } from '../lib/meta.ts';
import { hasCondition, kubeletClientProblem, KUBELET_CLIENT, type CSR } from './signers.ts';

const inputs = { requests: certificateSigningRequests };
type D = Deps<typeof inputs, undefined>;

const KINDS = [
  {
    subresource: 'selfnodeclient',
    message: 'Auto approving self kubelet client certificate after SubjectAccessReview.',
    fits: (csr: CSR, x509: CsrInfo) => csr.spec.username === x509.subject.commonName,
  },
  {
    subresource: 'nodeclient',
    message: 'Auto approving kubelet client certificate after SubjectAccessReview.',
    fits: () => true,
  },
];

async function allowed(deps: D, csr: CSR, subresource: string): Promise<boolean> {
  const { username, uid, groups, extra } = csr.spec;
  const review = await deps.client.create(subjectAccessReviews, {
    spec: {
      user: username,
      uid,
      groups: groups && [...groups],
      extra: extra as Record<string, string[]> | undefined,
      resourceAttributes: {
        group: 'certificates.k8s.io',
        resource: 'certificatesigningrequests',
        verb: 'create',
        subresource,
        version: '*',
      },
    },
  });
  return review.status?.allowed === true;
}

export const csrApprovingController = defineController({
  name: 'certificatesigningrequest-approving-controller',
  account: 'certificate-controller',
  inputs,
  outputs: [
    'update certificatesigningrequests/approval.certificates.k8s.io',
    'create subjectaccessreviews.authorization.k8s.io',
  ],
  triggers: { requests: 'self' },
  async reconcile(key, deps: D) {
    const csr = deps.informers.requests.get(key);
    if (!csr || csr.status?.certificate || hasCondition(csr, 'Approved') || hasCondition(csr, 'Denied')) return;
    if (csr.spec.signerName !== KUBELET_CLIENT) return;
    const x509 = parseCsr(Buffer.from(csr.spec.request, 'base64').toString());
    if (kubeletClientProblem(x509, csr.spec.usages ?? []) !== undefined) return;
    const tried: string[] = [];
    for (const kind of KINDS) {
      if (!kind.fits(csr, x509)) continue;
      tried.push(kind.subresource);
      if (!(await allowed(deps, csr, kind.subresource))) continue;
      const now = formatTime(deps.clock.now());
      const condition = {
        type: 'Approved',
        status: 'True',
        reason: 'AutoApproved',
        message: kind.message,
        lastUpdateTime: now,
        lastTransitionTime: now,
      };
      const wanted = body<Json<k8s.V1CertificateSigningRequest>>(csr);
      await deps.client
        .update(
          certificateSigningRequests,
          { ...wanted, status: { ...wanted.status, conditions: [...(wanted.status?.conditions ?? []), condition] } },
          { subresource: 'approval' },
        )
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
      return;
    }
    // Rights may come later (a bootstrap in progress), so it is tried again.
    deps.logger.debug('certificate request not approved', { name: key, tried });
    return { retry: true };
  },
});
