/** Start-up hooks: the server is ready once they are over. Their names are upstream's. */
import type { StartHook } from '../app.ts';
import {
  ensureBootstrapObjects,
  ensureFlowObjects,
  ensureLegacyTokenTracking,
  type BootstrapOptions,
} from './bootstrap.ts';

/** Flow schemas and priority levels that somebody removed are made again this often. */
const FLOW_REPAIR_MS = 60_000;

/** Options for `start`: `hooks: bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] })`. */
export function bootstrapHooks(
  o: Pick<BootstrapOptions, 'serviceCidrs' | 'clientCa' | 'requestHeader' | 'facts'>,
): StartHook[] {
  return [
    {
      name: 'rbac/bootstrap-roles',
      also: ['scheduling/bootstrap-system-priority-classes', 'start-cluster-authentication-info-controller'],
      run: (app) =>
        ensureBootstrapObjects({ ...o, clock: app.clock, logger: app.logger, reader: app.reader, writer: app.writer }),
    },
    {
      name: 'priority-and-fairness-config-producer',
      async run(app) {
        const { clock, logger, reader } = app;
        const writer = app.writer.as('api-priority-and-fairness-config-producer-v1');
        const ensure = () => ensureFlowObjects({ reader, writer, logger, facts: o.facts });
        await ensure();
        const timer = clock.every(
          FLOW_REPAIR_MS,
          () =>
            void ensure().catch((error: unknown) =>
              logger.warn('flow control objects could not be ensured', { error }),
            ),
          { background: true },
        );
        app.onClose(() => timer.cancel());
      },
    },
    { name: 'start-legacy-token-tracking-controller', run: (app) => ensureLegacyTokenTracking(app) },
  ];
}
