/** The long deprecated componentstatuses: computed, never stored. Only the store is known to this process. */
import { notFound } from '../../api/status.ts';
import type { JsonObject } from '../../api/types.ts';
import type { SpecialHandlers } from '../registry/special.ts';
import type { Store } from '../storage/store.ts';
import { gzipIfWanted } from './compress.ts';
import { negotiate } from './negotiate.ts';
import { contentType, encodeObject } from './render.ts';

export function registerComponentStatuses(special: SpecialHandlers, store: Store): void {
  special.register('componentstatuses', {
    type: 'raw',
    async handle(request, reply) {
      const view = negotiate(request, { transforms: false, protobuf: true });
      const { name } = request.info;
      if (name !== '' && name !== 'etcd-0') throw notFound({ group: '', resource: 'componentstatuses' }, name);
      const healthy = await store.ping().then(
        () => true,
        () => false,
      );
      const item: JsonObject = {
        metadata: { name: 'etcd-0' },
        conditions: [
          {
            type: 'Healthy',
            status: healthy ? 'True' : 'False',
            message: healthy ? 'ok' : 'the store does not answer',
          },
        ],
      };
      const object: JsonObject =
        name === ''
          ? { kind: 'ComponentStatusList', apiVersion: 'v1', metadata: {}, items: [item] }
          : { kind: 'ComponentStatus', apiVersion: 'v1', ...item };
      gzipIfWanted(request, reply, 200, contentType(view), encodeObject(object, view));
    },
  });
}
