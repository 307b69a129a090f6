/** Resources that aren't built in: custom resources and aggregated API servers. */
import { followFiles } from '../../base/tls.ts';
import type { App, StartHook } from '../app.ts';
import { Aggregator } from './aggregation/aggregator.ts';
import { Registration } from './aggregation/registration.ts';
import { CrdController } from './crd/controller.ts';
import { CRDS } from './crd/types.ts';
import { locateService } from '../proxying/locate.ts';
import { createWebhookConverter } from './serving/webhook.ts';
import { CustomServer } from './serving/server.ts';

export interface ExtensionOptions {
  /** --proxy-client-cert-file and --proxy-client-key-file: how aggregated servers know this one; read again when they change. */
  readonly proxyFiles?: { readonly cert: string; readonly key: string };
}

/** Start-up hooks that serve custom resources and follow APIServices. */
export function extensionHooks(options: ExtensionOptions = {}): StartHook[] {
  let registration: Registration | undefined;
  return [
    {
      name: 'start-apiextensions-controllers',
      also: ['start-apiextensions-informers', 'crd-informer-synced'],
      async run(app) {
        const controller = startCustomResources(app, () => void registration?.sync());
        app.onClose(() => controller.stop());
        await controller.start();
        // Not before all are served: the APIServices of those that aren't yet would be taken for leftovers.
        registration = new Registration(app);
      },
    },
    {
      name: 'kube-apiserver-autoregistration',
      checks: ['autoregister-completion'],
      async run() {
        await registration?.sync();
      },
    },
    {
      name: 'apiservice-registration-controller',
      also: [
        'start-kube-aggregator-informers',
        'apiservice-status-local-available-controller',
        'apiservice-status-remote-available-controller',
        'apiservice-discovery-controller',
        'apiservice-openapi-controller',
        'apiservice-openapiv3-controller',
      ],
      async run(app) {
        const { clock, logger, reader, rand, writer, discovery, aggregation, openapi } = app;
        const files =
          options.proxyFiles &&
          followFiles({ clock, log: logger, files: [options.proxyFiles.cert, options.proxyFiles.key] });
        app.onClose(() => files?.close());
        const aggregator = new Aggregator({
          clock,
          logger,
          reader,
          rand,
          writer,
          discovery,
          aggregation,
          openapi,
          cacheOf: (resource) => app.cacheOf(resource),
          identity: () => files && { cert: files.contents[0]!, key: files.contents[1]! },
        });
        app.onClose(() => aggregator.stop());
        await aggregator.start();
      },
    },
  ];
}

/** Follows the definitions of custom resources and serves them; `changed` hears of each change in what is served. */
function startCustomResources(app: App, changed: () => void): CrdController {
  const { clock, ids, rand, logger, reader, writer, catalog, openapi, registry } = app;
  const server = new CustomServer({
    catalog,
    openapi,
    registry,
    openStore: (definition) => app.openStore(definition),
    closeStore: (store) => app.closeStore(store),
    webhook: (crd) =>
      createWebhookConverter(crd, {
        clock,
        ids,
        resolve: (namespace, name, port) => locateService(reader, rand, namespace, `https:${name}:${port}`),
      }),
    changed,
  });
  return new CrdController({ clock, logger, reader, writer, cache: app.cacheOf(CRDS)!, server });
}
