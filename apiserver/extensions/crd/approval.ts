/** Groups of the community's domains (k8s.io, kubernetes.io) need a word of approval in an annotation: KEP-1111. */
import { invalid, Path, required, type FieldError } from '../../../api/field-errors.ts';
import type { DeepReadonly } from '../../../api/types.ts';
import type { Crd, CrdCondition } from './types.ts';

const APPROVED = 'api-approved.kubernetes.io';
const SEE = 'see https://github.com/kubernetes/enhancements/pull/1111';
const NEEDED = `protected groups must have approval annotation "${APPROVED}"`;

const isProtected = (group: string) => /(^|\.)(k8s\.io|kubernetes\.io)$/.test(group);

type State = 'missing' | 'bypassed' | 'approved' | 'invalid';

function stateOf(value: string | undefined): State {
  if (!value) return 'missing';
  if (value.startsWith('unapproved')) return 'bypassed';
  return URL.canParse(value) && new URL(value).host !== '' ? 'approved' : 'invalid';
}

const annotation = (crd: DeepReadonly<Crd> | undefined) => crd?.metadata?.annotations?.[APPROVED];

/** What is wrong with the annotation; an old definition may stay as it was. */
export function approvalErrors(crd: DeepReadonly<Crd>, old: DeepReadonly<Crd> | undefined): FieldError[] {
  if (!isProtected(crd.spec.group ?? '')) return [];
  const value = annotation(crd);
  const state = stateOf(value);
  if (old && stateOf(annotation(old)) === state) return [];
  const at = Path.root('metadata', 'annotations').key(APPROVED);
  if (state === 'missing') return [required(at, `${NEEDED}, ${SEE}`)];
  if (state === 'invalid')
    return [invalid(at, value, `${NEEDED} with either a URL or a reason starting with "unapproved", ${SEE}`)];
  return [];
}

/** The condition that says so; none for groups of one's own. */
export function approvalCondition(crd: DeepReadonly<Crd>): CrdCondition | undefined {
  if (!isProtected(crd.spec.group ?? '')) return undefined;
  const value = annotation(crd);
  const condition = (isGood: boolean, reason: string, message: string): CrdCondition => ({
    type: 'KubernetesAPIApprovalPolicyConformant',
    status: isGood ? 'True' : 'False',
    reason,
    message,
  });
  switch (stateOf(value)) {
    case 'approved':
      return condition(true, 'ApprovedAnnotation', `approved in ${value}`);
    case 'bypassed':
      return condition(false, 'UnapprovedAnnotation', `not approved: ${JSON.stringify(value)}`);
    case 'invalid':
      return condition(
        false,
        'InvalidAnnotation',
        `${NEEDED} with either a URL or a reason starting with "unapproved"`,
      );
    case 'missing':
      return condition(false, 'MissingAnnotation', `${NEEDED}, ${SEE}`);
  }
}
