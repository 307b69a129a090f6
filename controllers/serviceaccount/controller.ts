/** Keeps a ServiceAccount `default` in every Namespace. */
import { isAlreadyExists, isNotFound } from '../../api/status.ts';
import { namespaces, serviceAccounts } from '../../client/resources.ts';
import { select } from '../factory.ts';
import { defineController } from '../framework.ts';
import { meta } from '../lib/meta.ts';
import { isNamespaceTerminating } from '../lib/podcontrol.ts';
import { concurrency } from '../options.ts';

const NAME = 'default';

export const serviceAccountController = defineController({
  name: 'serviceaccount-controller',
  account: 'service-account-controller',
  inputs: { namespaces, accounts: select(serviceAccounts, { fieldSelector: `metadata.name=${NAME}` }) },
  outputs: ['create serviceaccounts'],
  workers: concurrency('serviceaccount'),
  triggers: { namespaces: 'self', accounts: (account) => [meta(account).namespace] },
  async reconcile(key, { informers, client }) {
    const namespace = informers.namespaces.get(key);
    if (!namespace || namespace.status?.phase === 'Terminating' || informers.accounts.get(NAME, key)) return;
    try {
      await client.create(serviceAccounts, { metadata: { name: NAME, namespace: key } });
    } catch (error) {
      if (!isAlreadyExists(error) && !isNotFound(error) && !isNamespaceTerminating(error)) throw error;
    }
  },
});
