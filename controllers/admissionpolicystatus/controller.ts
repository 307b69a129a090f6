/** Tells in the status of ValidatingAdmissionPolicies which of their expressions don't fit the kinds they name. */
import { isNotFound } from '../../api/status.ts';
import type { GroupVersionKind } from '../../api/types.ts';
import type { Client } from '../../client/client.ts';
import { validatingAdmissionPolicies } from '../../client/resources.ts';
import { lazyModule } from '../../base/lazy.ts';
import { defineController } from '../framework.ts';
import { discover } from '../../client/discovery.ts';
import { meta } from '../lib/meta.ts';
import type { OpenApiDocument, Policy, typeCheck } from './typecheck.ts';

/** With it comes CEL: not before there is a policy. */
const checker = lazyModule<typeof import('./typecheck.ts')>(import.meta.url, './typecheck.ts');

/** The kinds that the policy names, with their types as the server describes them. */
async function typesOf(client: Client, policy: Policy): Promise<Parameters<typeof typeCheck>[1][number][]> {
  const out: Parameters<typeof typeCheck>[1][number][] = [];
  const { declaredType, namedResources } = checker();
  const named = namedResources(policy);
  if (named.length === 0) return out;
  const { resources } = await discover(client);
  const documents = new Map<string, OpenApiDocument | undefined>();
  for (const { group, version, resource } of named) {
    const found = resources.find((r) => r.group === group && r.resource === resource);
    if (!found) continue;
    const kind: GroupVersionKind = { group, version, kind: found.kind };
    const path = group === '' ? `/openapi/v3/api/${version}` : `/openapi/v3/apis/${group}/${version}`;
    if (!documents.has(path))
      documents.set(
        path,
        await client.request<OpenApiDocument>({ path }).catch((error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        }),
      );
    const document = documents.get(path);
    const type = document && declaredType(document, kind);
    if (type) out.push({ kind, type });
  }
  return out;
}

export const validatingAdmissionPolicyStatusController = defineController({
  name: 'validatingadmissionpolicy-status-controller',
  account: 'validatingadmissionpolicy-status-controller',
  inputs: { policies: validatingAdmissionPolicies },
  outputs: ['patch validatingadmissionpolicies/status.admissionregistration.k8s.io'],
  triggers: { policies: 'self' },
  async reconcile(key, { informers, client }) {
    const policy = informers.policies.get(key);
    const generation = policy && meta(policy).generation;
    if (!policy || (policy.status?.observedGeneration ?? 0) >= (generation ?? 0)) return;
    const expressionWarnings = checker().typeCheck(policy, await typesOf(client, policy));
    const patch = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name: key },
      status: { observedGeneration: generation, typeChecking: expressionWarnings.length ? { expressionWarnings } : {} },
    };
    await client.patch(validatingAdmissionPolicies, key, 'apply', patch, {
      subresource: 'status',
      fieldManager: 'validatingadmissionpolicy-status',
      force: true,
    });
  },
});
