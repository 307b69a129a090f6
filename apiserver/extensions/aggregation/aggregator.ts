/** Follows APIServices: routes their group versions, tells which are available, and puts them into discovery. */
import type { OpenApi, RemoteDocuments } from '../../../api/openapi/index.ts';
import { isNotFound } from '../../../api/status.ts';
import type { DeepReadonly } from '../../../api/types.ts';
import { formatTime, type Clock, type Timer } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import type { DiscoveryOverlay, Priority, RemoteVersion } from '../../discovery/overlay.ts';
import type { Aggregation } from '../../http/aggregation.ts';
import type { Writer } from '../../registry/writer.ts';
import type { CacheEvent, ResourceCache } from '../../storage/cache.ts';
import { checkAvailability, type Verdict } from './availability.ts';
import { RemoteServer, type BackendDeps } from './backend.ts';
import { OWN_GROUP } from './priorities.ts';
import { fetchDocuments } from './remote-openapi.ts';
import { fetchResources } from './remote-discovery.ts';
import { API_SERVICES, availability, groupVersionOf, isAvailable, type APIService } from './types.ts';

export interface AggregatorDeps extends BackendDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly writer: Writer;
  readonly discovery: DiscoveryOverlay;
  readonly aggregation: Aggregation;
  readonly openapi: OpenApi;
  cacheOf(resource: string): ResourceCache | undefined;
}

/** How long a server is given to answer, and how long between looks at one that answers, in ms. */
const PATIENCE_MS = 5000;
const LOOK_MS = 30_000;
/** The first pause after a failed look; doubles up to LOOK_MS. */
const RETRY_MS = 500;

interface Remote {
  readonly server: RemoteServer;
  resources: RemoteVersion['resources'];
  documents: RemoteDocuments | undefined;
  timer: Timer | undefined;
  pause: number;
  looking: boolean;
  again: boolean;
}

export class Aggregator {
  readonly #deps: AggregatorDeps;
  readonly #remotes = new Map<string, Remote>();
  readonly #watchers: { close(): void }[] = [];
  readonly #stopping = new AbortController();

  constructor(deps: AggregatorDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    await this.#follow(API_SERVICES, () => this.#sync());
    await this.#follow('services', (e) => this.#affected(e.entry.namespace, e.entry.name));
    await this.#follow('discovery.k8s.io/endpointslices', (e) => {
      const service = e.entry.labels?.['kubernetes.io/service-name'];
      if (service !== undefined) this.#affected(e.entry.namespace, service);
    });
    this.#sync();
  }

  stop(): void {
    this.#stopping.abort(new Error('stopped'));
    for (const w of this.#watchers) w.close();
    for (const r of this.#remotes.values()) this.#forget(r);
  }

  async #follow(resource: string, seen: (event: CacheEvent) => void): Promise<void> {
    const cache = this.#deps.cacheOf(resource);
    if (!cache || this.#stopping.signal.aborted) return;
    const { revision } = await cache.list();
    const watcher = cache.watch(
      revision,
      {},
      {
        event(event) {
          seen(event);
          return true;
        },
        progress() {},
        end: () => {
          if (this.#stopping.signal.aborted) return;
          void this.#follow(resource, seen).then(
            () => this.#sync(),
            (error: unknown) => this.#deps.logger.error('the aggregator can no longer follow', { resource, error }),
          );
        },
      },
    );
    this.#watchers.push(watcher);
  }

  /** Looks at all APIServices: who is new, who is gone, in which order groups stand. */
  #sync(): void {
    const { reader, discovery, aggregation } = this.#deps;
    const services = reader.list<APIService>(API_SERVICES);
    const priorities: [string, Priority][] = [[`${OWN_GROUP}/v1`, { group: 20_001, version: 1 }]];
    const named = new Set<string>();
    for (const s of services) {
      const { spec } = s;
      if (!spec) continue;
      priorities.push([groupVersionOf(s), { group: spec.groupPriorityMinimum, version: spec.versionPriority }]);
      if (!spec.service) continue;
      const name = s.metadata?.name ?? '';
      named.add(name);
      const known = this.#remotes.get(name);
      if (!known) this.#begin(name, s);
      else if (JSON.stringify(known.server.service.spec) !== JSON.stringify(spec)) {
        known.server.service = s;
        this.#look(name);
      } else known.server.service = s;
    }
    for (const [name, r] of this.#remotes) {
      if (named.has(name)) continue;
      aggregation.delete(groupVersionOf(r.server.service));
      this.#forget(r);
      this.#remotes.delete(name);
    }
    discovery.setPriorities(priorities);
    this.#publish();
  }

  #begin(name: string, service: DeepReadonly<APIService>): void {
    const server = new RemoteServer(service, this.#deps);
    this.#remotes.set(name, {
      server,
      resources: undefined,
      documents: undefined,
      timer: undefined,
      pause: RETRY_MS,
      looking: false,
      again: false,
    });
    this.#deps.aggregation.set(groupVersionOf(service), server);
    this.#look(name);
  }

  #forget(r: Remote): void {
    r.timer?.cancel();
    r.server.close();
  }

  #affected(namespace: string, service: string): void {
    for (const [name, r] of this.#remotes) {
      const at = r.server.service.spec?.service;
      if (at?.namespace === namespace && at.name === service) this.#look(name);
    }
  }

  #look(name: string): void {
    const r = this.#remotes.get(name);
    if (!r || this.#stopping.signal.aborted) return;
    r.timer?.cancel();
    if (r.looking) {
      r.again = true;
      return;
    }
    r.looking = true;
    void this.#examine(name, r)
      .catch((error: unknown) => {
        this.#deps.logger.warn('an aggregated server could not be looked at', { name, error });
        return false;
      })
      .then((good) => {
        r.looking = false;
        if (this.#remotes.get(name) !== r || this.#stopping.signal.aborted) return;
        if (r.again) {
          r.again = false;
          this.#look(name);
          return;
        }
        r.pause = good ? RETRY_MS : Math.min(r.pause * 2, LOOK_MS);
        r.timer = this.#deps.clock.after(good ? LOOK_MS : r.pause, () => this.#look(name), { background: true });
      });
  }

  async #examine(name: string, r: Remote): Promise<boolean> {
    const { clock, reader } = this.#deps;
    const limit = new AbortController();
    const timer = clock.after(PATIENCE_MS, () => limit.abort(new Error('no answer in time')), { background: true });
    const stop = () => limit.abort(new Error('stopped'));
    this.#stopping.signal.addEventListener('abort', stop, { once: true });
    try {
      const verdict = await checkAvailability(reader, r.server, limit.signal);
      const good = verdict.status === 'True';
      const resources = good ? await fetchResources(r.server, limit.signal).catch(() => undefined) : undefined;
      if (JSON.stringify(resources) !== JSON.stringify(r.resources)) {
        r.resources = resources;
        r.documents = resources && (await fetchDocuments(r.server, limit.signal));
        this.#publish();
      }
      await this.#tell(name, r, verdict);
      return good && resources !== undefined;
    } finally {
      timer.cancel();
      this.#stopping.signal.removeEventListener('abort', stop);
    }
  }

  /** Writes the condition where it has changed. */
  async #tell(name: string, r: Remote, verdict: Verdict): Promise<void> {
    const same = (s: DeepReadonly<APIService>) => {
      const c = availability(s);
      return c?.status === verdict.status && c.reason === verdict.reason && c.message === verdict.message;
    };
    if (same(r.server.service) || this.#stopping.signal.aborted) return;
    try {
      r.server.service = (await this.#deps.writer.update<APIService>(
        API_SERVICES,
        '',
        name,
        (current) => {
          if (same(current)) return undefined;
          const before = availability(current);
          const now = formatTime(this.#deps.clock.now());
          const condition = {
            type: 'Available',
            ...verdict,
            lastTransitionTime: before?.status === verdict.status ? (before.lastTransitionTime ?? now) : now,
          };
          const others = (current.status?.conditions ?? []).filter((c) => c.type !== 'Available');
          return { ...current, status: { ...current.status, conditions: [...others, condition] } } as APIService;
        },
        'status',
      )) as DeepReadonly<APIService>;
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #publish(): void {
    const versions: RemoteVersion[] = [...this.#remotes.values()].map((r) => ({
      group: r.server.service.spec?.group ?? '',
      version: r.server.service.spec?.version ?? '',
      resources: isAvailable(r.server.service) || r.resources ? r.resources : undefined,
    }));
    this.#deps.discovery.setRemote(versions);
    this.#deps.openapi.setRemote([...this.#remotes.values()].flatMap((r) => r.documents ?? []));
  }
}
