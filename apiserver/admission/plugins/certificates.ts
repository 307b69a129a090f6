/** CertificateApproval, CertificateSigning and CertificateSubjectRestriction. */
import type * as k8s from '@kubernetes/client-node';
import { semanticEqual } from '../../../api/meta.ts';
import type { DeepReadonly, Json } from '../../../api/types.ts';
import { parseCsr } from '../../../base/pki.ts';
import { deny, isOn, type PluginDeps, type PluginFactory } from '../plugin.ts';
import type { AdmissionAttributes } from '../types.ts';

type Csr = DeepReadonly<Json<k8s.V1CertificateSigningRequest>>;
const GROUP = 'certificates.k8s.io';
const RESOURCE = 'certificatesigningrequests';

/** The user has `verb` on the signer itself or on all signers of its domain. */
async function mayUseSigner(
  { authorizer }: PluginDeps,
  a: AdmissionAttributes,
  verb: string,
  signer: string,
): Promise<boolean> {
  const slash = signer.indexOf('/');
  for (const name of [signer, `${slash < 0 ? signer : signer.slice(0, slash)}/*`]) {
    const d = await authorizer.authorize({
      user: a.user,
      verb,
      resourceRequest: true,
      path: '',
      namespace: '',
      apiGroup: GROUP,
      apiVersion: '*',
      resource: 'signers',
      subresource: '',
      name,
    });
    if (d.decision === 'allow') return true;
  }
  return false;
}

export const certificateApproval: PluginFactory = (deps) => ({
  name: 'CertificateApproval',
  handles: (operation) => operation === 'UPDATE',
  async validate(a) {
    if (!isOn(a, GROUP, RESOURCE, 'approval')) return;
    const signer = (a.oldObject as Csr).spec.signerName;
    if (await mayUseSigner(deps, a, 'approve', signer)) return;
    throw deny(a, `user not permitted to approve requests with signerName ${JSON.stringify(signer)}`);
  },
});

export const certificateSigning: PluginFactory = (deps) => ({
  name: 'CertificateSigning',
  handles: (operation) => operation === 'UPDATE',
  async validate(a) {
    if (!isOn(a, GROUP, RESOURCE, 'status')) return;
    const old = a.oldObject as Csr;
    const now = a.object as Csr;
    if (
      old.status?.certificate === now.status?.certificate &&
      semanticEqual(old.status?.conditions, now.status?.conditions)
    )
      return;
    if (await mayUseSigner(deps, a, 'sign', old.spec.signerName)) return;
    throw deny(a, `user not permitted to sign requests with signerName ${JSON.stringify(old.spec.signerName)}`);
  },
});

export const certificateSubjectRestriction: PluginFactory = () => ({
  name: 'CertificateSubjectRestriction',
  handles: (operation) => operation === 'CREATE',
  validate(a) {
    if (!isOn(a, GROUP, RESOURCE)) return;
    const { signerName, request } = (a.object as Csr).spec;
    if (signerName !== 'kubernetes.io/kube-apiserver-client') return;
    let organizations: readonly string[];
    try {
      ({ organizations } = parseCsr(Buffer.from(request, 'base64').toString('utf8')).subject);
    } catch (error) {
      throw deny(a, `failed to parse CSR: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (organizations.includes('system:masters'))
      throw deny(a, `use of ${signerName} signer with system:masters group is not allowed`);
  },
});
