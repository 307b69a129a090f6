/** The long deprecated componentstatuses: computed, never stored. The control plane's parts are asked on this machine. */
import https from 'node:https';
import { notFound } from '../../api/status.ts';
import type { DeepReadonly, JsonObject, KubeObject } from '../../api/types.ts';
import type { Catalog, ServedResource } from '../registry/catalog.ts';
import type { SpecialHandlers } from '../registry/special.ts';
import type { Store } from '../storage/store.ts';
import { gzipIfWanted } from './compress.ts';
import { negotiate, type View } from './negotiate.ts';
import { contentType, encodeObject } from './render.ts';
import { tableColumns } from './table.ts';

/** What a healthy part says of itself; an error's message says what ails it. */
type Probe = () => Promise<string>;
interface Condition {
  readonly status: 'True' | 'False';
  readonly message: string;
}

const PROBE_MS = 20_000;

/** Asks a part's /healthz on its usual port; whoever answers there is believed. */
function healthz(port: number): Probe {
  const url = `https://127.0.0.1:${port}/healthz`;
  return () =>
    new Promise((resolve, reject) => {
      const request = https.get(url, { rejectUnauthorized: false, agent: false, timeout: PROBE_MS }, (response) => {
        const ok = response.statusCode! >= 200 && response.statusCode! < 400;
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (s: string) => {
          text = (text + s).slice(0, 1024);
        });
        response.on('error', reject);
        response.on('end', () =>
          ok ? resolve(text) : reject(new Error(`HTTP probe failed with statuscode: ${response.statusCode}`)),
        );
      });
      request.on('timeout', () => request.destroy(new Error(`Get "${url}": context deadline exceeded`)));
      request.on('error', (error: NodeJS.ErrnoException) =>
        reject(
          error.code === 'ECONNREFUSED'
            ? new Error(`Get "${url}": dial tcp 127.0.0.1:${port}: connect: connection refused`)
            : error,
        ),
      );
    });
}

async function conditionOf(probe: Probe): Promise<Condition> {
  try {
    return { status: 'True', message: await probe() };
  } catch (error) {
    return { status: 'False', message: (error as Error).message };
  }
}

const statusOf = (name: string, c: Condition): JsonObject => ({
  metadata: { name },
  conditions: [{ type: 'Healthy', status: c.status, message: c.message }],
});

function table(served: ServedResource, items: readonly JsonObject[], view: View): JsonObject {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${view.asVersion}`,
    metadata: {},
    columnDefinitions: tableColumns(served),
    rows: items.map((item) => {
      const [condition] = item['conditions'] as unknown as Condition[];
      const { name } = item['metadata'] as { name: string };
      return {
        cells: [name, condition!.status === 'True' ? 'Healthy' : 'Unhealthy', condition!.message, ''],
        object: { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${view.asVersion}`, metadata: { name } },
      };
    }),
  };
}

export function registerComponentStatuses(special: SpecialHandlers, store: Store, catalog: Catalog): void {
  const probes: ReadonlyMap<string, Probe> = new Map([
    ['controller-manager', healthz(10257)],
    ['etcd-0', () => store.ping().then(() => 'ok')],
    ['scheduler', healthz(10259)],
  ]);
  special.register('componentstatuses', {
    type: 'raw',
    async handle(request, reply) {
      const view = negotiate(request, { transforms: true, protobuf: true });
      const { name } = request.info;
      if (name !== '' && !probes.has(name)) throw notFound({ group: '', resource: 'componentstatus' }, name);
      const asked = name === '' ? [...probes] : [[name, probes.get(name)!] as const];
      const items = await Promise.all(asked.map(async ([n, probe]) => statusOf(n, await conditionOf(probe))));
      const object = answer(catalog.get('', 'v1', 'componentstatuses')!, items, name, view);
      gzipIfWanted(request, reply, 200, contentType(view), encodeObject(object, view));
    },
  });
}

function answer(served: ServedResource, items: JsonObject[], name: string, view: View): DeepReadonly<KubeObject> {
  if (view.as === 'Table') return table(served, items, view) as KubeObject;
  const partial = view.as !== '';
  const apiVersion = partial ? `meta.k8s.io/${view.asVersion}` : 'v1';
  const kind = partial ? 'PartialObjectMetadata' : 'ComponentStatus';
  const shown = partial ? items.map(({ metadata }) => ({ kind, apiVersion, metadata: metadata! })) : items;
  if (name === '') return { kind: `${kind}List`, apiVersion, metadata: {}, items: shown } as unknown as KubeObject;
  return { kind, apiVersion, ...shown[0]! } as KubeObject;
}
