/** The Node authorizer: a kubelet may do what its own node and the pods on it need, and no more. */
import type { UserInfo } from '../authentication/types.ts';
import type { CacheLookup } from './follow.ts';
import { createNodeGraph, type NodeObjectKind } from './node-graph.ts';
import { ruleAllows, type PolicyRule } from './rules.ts';
import { selectsExactly } from './selectors.ts';
import type { AuthorizationAttributes, Authorizer, Decision } from './types.ts';

const ALLOW: Decision = { decision: 'allow' };
const no = (reason = ''): Decision => (reason === '' ? NO_OPINION : { decision: 'noOpinion', reason });
const NO_OPINION: Decision = { decision: 'noOpinion' };
const PREFIX = 'system:node:';

/** The node that a user speaks for; undefined for other users, '' for a member of system:nodes without a node's name. */
export function nodeOf(user: UserInfo): string | undefined {
  if (!user.groups.includes('system:nodes') || !user.name.startsWith(PREFIX)) return undefined;
  return user.name.slice(PREFIX.length);
}

const NAMED_WRITES = ['get', 'create', 'update', 'patch', 'delete'];

/** `rules` are those of the cluster role system:node, for everything that isn't judged object by object. */
export function createNodeAuthorizer(
  caches: CacheLookup,
  rules: readonly PolicyRule[],
): Authorizer & { close(): void } {
  const graph = createNodeGraph(caches);

  function related(node: string, kind: NodeObjectKind, a: AuthorizationAttributes): Decision {
    if (a.name === '') return no('No Object name found');
    return graph.reaches(node, kind, a.namespace, a.name)
      ? ALLOW
      : no(`no relationship found between node '${node}' and this object`);
  }
  function get(node: string, kind: NodeObjectKind, a: AuthorizationAttributes): Decision {
    if (a.verb !== 'get') return no('can only get individual resources of this type');
    if (a.subresource !== '') return no('cannot get subresource');
    return related(node, kind, a);
  }
  function read(node: string, kind: NodeObjectKind, a: AuthorizationAttributes): Decision {
    if (a.verb !== 'get' && a.verb !== 'list' && a.verb !== 'watch') return no('can only read resources of this type');
    if (a.subresource !== '') return no('cannot read subresource');
    if (a.namespace === '') return no('can only read namespaced object of this type');
    return related(node, kind, a);
  }
  function claim(node: string, a: AuthorizationAttributes): Decision {
    if (a.subresource !== 'status') return get(node, 'persistentvolumeclaims', a);
    if (a.verb !== 'update' && a.verb !== 'patch') return no('can only get/update/patch this type');
    return related(node, 'persistentvolumeclaims', a);
  }
  function serviceAccount(node: string, a: AuthorizationAttributes): Decision {
    if (a.verb === 'get' && a.subresource === '') return read(node, 'serviceaccounts', a);
    if (a.verb !== 'create' || a.name === '') return no('can only create tokens for individual service accounts');
    if (a.subresource !== 'token') return no('can only create token subresource of serviceaccount');
    return related(node, 'serviceaccounts', a);
  }
  function lease(node: string, a: AuthorizationAttributes): Decision {
    if (!NAMED_WRITES.includes(a.verb)) return no('can only get, create, update, patch, or delete a node lease');
    if (a.namespace !== 'kube-node-lease')
      return no('can only access leases in the "kube-node-lease" system namespace');
    // The name on create is known to admission only (NodeRestriction).
    if (a.verb !== 'create' && a.name !== node)
      return no('can only access node lease with the same name as the requesting node');
    return ALLOW;
  }
  function csiNode(node: string, a: AuthorizationAttributes): Decision {
    if (!NAMED_WRITES.includes(a.verb)) return no('can only get, create, update, patch, or delete a CSINode');
    if (a.subresource !== '') return no('cannot authorize CSINode subresources');
    if (a.verb !== 'create' && a.name !== node)
      return no('can only access CSINode with the same name as the requesting node');
    return ALLOW;
  }
  function slice(node: string, a: AuthorizationAttributes): Decision {
    if (a.subresource !== '') return no('cannot authorize ResourceSlice subresources');
    switch (a.verb) {
      case 'create':
        return ALLOW;
      case 'get':
      case 'update':
      case 'patch':
      case 'delete':
        return related(node, 'resourceslices', a);
      case 'list':
      case 'watch':
      case 'deletecollection':
        if (selectsExactly(a.fieldSelector, 'spec.nodeName', node)) return ALLOW;
        return no('can only list/watch/deletecollection resourceslices with nodeName field selector');
      default:
        return no(
          'only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection',
        );
    }
  }
  function podCertificateRequest(node: string, a: AuthorizationAttributes): Decision {
    if (a.subresource !== '') return no('nodes may not access the status subresource of PodCertificateRequests');
    if (a.verb === 'create') return ALLOW;
    if (a.verb === 'get') return related(node, 'podcertificaterequests', a);
    if (a.verb !== 'list' && a.verb !== 'watch') return no(`nodes may not ${a.verb} podcertificaterequests`);
    if (selectsExactly(a.fieldSelector, 'spec.nodeName', node)) return ALLOW;
    return no('can only list/watch podcertificaterequests with nodeName field selector');
  }
  function nodes(node: string, a: AuthorizationAttributes): Decision {
    if (a.subresource === 'status') return a.verb === 'update' || a.verb === 'patch' ? ALLOW : NO_OPINION;
    if (a.subresource !== '') return NO_OPINION;
    switch (a.verb) {
      case 'create':
      case 'update':
      case 'patch':
        return ALLOW;
      case 'get':
      case 'list':
      case 'watch':
        if (a.name === node) return ALLOW;
        if (a.name === '') return no(`node '${node}' cannot read all nodes, only its own Node object`);
        return no(`node '${node}' cannot read '${a.name}', only its own Node object`);
      default:
        return NO_OPINION;
    }
  }
  function pods(node: string, a: AuthorizationAttributes): Decision {
    if (a.subresource === 'status') return a.verb === 'update' || a.verb === 'patch' ? ALLOW : NO_OPINION;
    if (a.subresource === 'eviction') return a.verb === 'create' ? ALLOW : NO_OPINION;
    if (a.subresource !== '') return NO_OPINION;
    switch (a.verb) {
      case 'get':
        return get(node, 'pods', a);
      case 'list':
      case 'watch':
        if (selectsExactly(a.fieldSelector, 'spec.nodeName', node)) return ALLOW;
        if (a.name !== '') return related(node, 'pods', a);
        return no('can only list/watch pods with spec.nodeName field selector');
      case 'create':
      case 'delete':
        return ALLOW;
      default:
        return NO_OPINION;
    }
  }

  const judges: Record<string, (node: string, a: AuthorizationAttributes) => Decision> = {
    '/secrets': (n, a) => read(n, 'secrets', a),
    '/configmaps': (n, a) => read(n, 'configmaps', a),
    '/persistentvolumeclaims': claim,
    '/persistentvolumes': (n, a) => get(n, 'persistentvolumes', a),
    'resource.k8s.io/resourceclaims': (n, a) => get(n, 'resourceclaims', a),
    'storage.k8s.io/volumeattachments': (n, a) => get(n, 'volumeattachments', a),
    '/serviceaccounts': serviceAccount,
    'coordination.k8s.io/leases': lease,
    'storage.k8s.io/csinodes': csiNode,
    'resource.k8s.io/resourceslices': slice,
    '/nodes': nodes,
    '/pods': pods,
    'certificates.k8s.io/podcertificaterequests': podCertificateRequest,
  };

  return {
    authorize(a) {
      const node = nodeOf(a.user);
      if (node === undefined) return NO_OPINION;
      if (node === '') return no(`unknown node for user ${JSON.stringify(a.user.name)}`);
      const key = `${a.apiGroup}/${a.resource}`;
      if (a.resourceRequest && Object.hasOwn(judges, key)) return judges[key]!(node, a);
      return rules.some((r) => ruleAllows(r, a)) ? ALLOW : NO_OPINION;
    },
    close: () => graph.close(),
  };
}
