/** Keeps the ConfigMap kube-root-ca.crt in every Namespace: pods verify the API server with it. */
import { isAlreadyExists, isNotFound } from '../../api/status.ts';
import { configMaps, namespaces } from '../../client/resources.ts';
import type { ConfigMap } from '../../api/types.ts';
import { select } from '../factory.ts';
import { defineController } from '../framework.ts';
import { body, meta } from '../lib/meta.ts';
import { isNamespaceTerminating } from '../lib/podcontrol.ts';

const NAME = 'kube-root-ca.crt';
const ANNOTATION = 'kubernetes.io/description';
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

export const rootCAPublisherController = defineController({
  name: 'root-ca-certificate-publisher-controller',
  account: 'root-ca-cert-publisher',
  inputs: { namespaces, configMaps: select(configMaps, { fieldSelector: `metadata.name=${NAME}` }) },
  outputs: ['create,update configmaps'],
  enabled: (options) => options.rootCA !== undefined,
  triggers: { namespaces: 'self', configMaps: (map) => [meta(map).namespace] },
  async reconcile(key, { informers, client, options }) {
    const namespace = informers.namespaces.get(key);
    if (!namespace || namespace.status?.phase === 'Terminating') return;
    const have = informers.configMaps.get(NAME, key);
    const data = { 'ca.crt': options.rootCA! };
    if (have) {
      const same =
        have.data?.['ca.crt'] === options.rootCA && Object.keys(have.data ?? {}).length === 1 && !have.binaryData;
      if (same && have.metadata?.annotations?.[ANNOTATION]) return;
      const map = body<ConfigMap>(have);
      await client.update(configMaps, {
        ...map,
        metadata: { ...map.metadata, annotations: { ...map.metadata?.annotations, [ANNOTATION]: DESCRIPTION } },
        data,
        binaryData: undefined,
      });
      return;
    }
    try {
      await client.create(configMaps, {
        metadata: { name: NAME, namespace: key, annotations: { [ANNOTATION]: DESCRIPTION } },
        data,
      });
    } catch (error) {
      if (!isAlreadyExists(error) && !isNotFound(error) && !isNamespaceTerminating(error)) throw error;
    }
  },
});
