/** Keeps a Local APIService for each group version of this server: built in, or made by custom resources. */
import { hasCode } from '../../../api/status.ts';
import type { Logger } from '../../../base/log.ts';
import type { Catalog } from '../../registry/catalog.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import type { Writer } from '../../registry/writer.ts';
import { builtinPriority, OWN_GROUP } from './priorities.ts';
import { API_SERVICES, groupVersionOf, type APIService } from './types.ts';

export interface RegistrationDeps {
  readonly catalog: Catalog;
  readonly reader: ObjectReader;
  readonly writer: Writer;
  readonly logger: Logger;
}

/** Says who keeps an APIService: `onstart` for what is built in, `true` for what comes and goes. */
const MANAGED = 'kube-aggregator.kubernetes.io/automanaged';

export class Registration {
  readonly #deps: RegistrationDeps;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(deps: RegistrationDeps) {
    this.#deps = deps;
  }

  /** Brings the objects in line with the catalog; calls during a run make it run once more. */
  sync(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #run(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      await this.#once();
    }
  }

  async #once(): Promise<void> {
    const { catalog, reader, writer, logger } = this.#deps;
    const wanted = new Map<string, APIService>();
    for (const r of catalog.all()) {
      const name = `${r.version}.${r.group}`;
      if (r.group !== OWN_GROUP && !wanted.has(name))
        wanted.set(name, local(name, r.group, r.version, r.custom === true));
    }
    for (const there of reader.list<APIService>(API_SERVICES)) {
      const name = there.metadata?.name ?? '';
      const mine = there.metadata?.labels?.[MANAGED];
      if (wanted.has(name)) wanted.delete(name);
      else if (mine !== undefined) await this.#try(name, () => writer.delete(API_SERVICES, '', name));
    }
    for (const [name, object] of wanted) {
      logger.debug('registering a group version', { groupVersion: groupVersionOf(object) });
      await this.#try(name, () => writer.create<APIService>(API_SERVICES, '', object));
    }
  }

  async #try(name: string, write: () => Promise<unknown>): Promise<void> {
    try {
      await write();
    } catch (error) {
      // Another server of the cluster was faster.
      if (hasCode(error, 404, 409)) return;
      this.#deps.logger.warn('an APIService could not be brought in line', { name, error });
    }
  }
}

function local(name: string, group: string, version: string, custom: boolean): APIService {
  const priority = builtinPriority(group, version);
  return {
    metadata: { name, labels: { [MANAGED]: custom ? 'true' : 'onstart' } },
    spec: {
      ...(group === '' ? {} : { group }),
      version,
      groupPriorityMinimum: priority.group,
      versionPriority: priority.version,
    },
  } as APIService;
}
