/** NamespaceLifecycle: nothing is put into a namespace that isn't there or is going; the system's stay. */
import { StatusError, notFound } from '../../../api/status.ts';
import type { Namespace } from '../../../api/types.ts';
import { deny, nameOf, type PluginFactory } from '../plugin.ts';

const IMMORTAL = ['default', 'kube-system', 'kube-public'];

export const namespaceLifecycle: PluginFactory = ({ reader, objects }) => ({
  name: 'NamespaceLifecycle',
  handles: (operation) => operation !== 'CONNECT',
  async admit(a) {
    const isNamespace = a.resource.resource === 'namespaces' && a.resource.group === '';
    if (a.operation === 'DELETE') {
      if (isNamespace && IMMORTAL.includes(a.name)) throw deny(a, 'this namespace may not be deleted');
      return;
    }
    if (a.namespace === '' || isNamespace) return;
    // One may always ask what one may do, also in a namespace that is yet to come.
    if (a.resource.group === 'authorization.k8s.io' && a.resource.resource === 'localsubjectaccessreviews') return;
    const namespace =
      reader.get<Namespace>('namespaces', '', a.namespace) ??
      (await objects.find<Namespace>('namespaces', '', a.namespace));
    if (!namespace) throw notFound({ group: '', resource: 'namespaces' }, a.namespace);
    if (a.operation !== 'CREATE' || namespace.status?.phase !== 'Terminating') return;
    const error: StatusError = deny(
      a,
      `unable to create new content in namespace ${a.namespace} because it is being terminated`,
    );
    error.status.details = {
      ...error.status.details,
      name: nameOf(a),
      causes: [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${a.namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    };
    throw error;
  },
});
