/** Start-up hooks: the server is ready once they are over. Their names are upstream's. */
import type { App } from '../app.ts';
import { ensureBootstrapObjects, type BootstrapOptions } from './bootstrap.ts';

/** Options for `start`: `hooks: bootstrapHooks({ serviceCidrs: ['10.96.0.0/16'] })`. */
export function bootstrapHooks(
  o: Pick<BootstrapOptions, 'serviceCidrs' | 'clientCa' | 'requestHeader' | 'facts'>,
): { name: string; run(app: App): Promise<void> }[] {
  return [
    {
      name: 'rbac/bootstrap-roles',
      run: (app) =>
        ensureBootstrapObjects({ ...o, clock: app.clock, logger: app.logger, reader: app.reader, writer: app.writer }),
    },
  ];
}
