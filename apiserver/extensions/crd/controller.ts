/**
 * Follows CustomResourceDefinitions: gives them their names, serves their resources, and cleans up before they go.
 * One piece instead of upstream's five controllers: what is served is decided in the order of the events.
 */
import { encodeJson } from '../../../api/codec/json.ts';
import { hasCode, StatusError } from '../../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../../api/types.ts';
import { formatTime, type Clock } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import type { ObjectReader } from '../../registry/definition.ts';
import type { Writer } from '../../registry/writer.ts';
import type { CacheEvent, ResourceCache } from '../../storage/cache.ts';
import { approvalCondition } from './approval.ts';
import { acceptNames, sameNames } from './naming.ts';
import { CLEANUP_FINALIZER, conditionOf, CRDS, isTrue, withCondition, type Crd, type CrdCondition } from './types.ts';

/** Where definitions are put to be served. */
export interface CrdServer {
  /** Serves `crd` by its accepted names from now on, or as it has become; resolves when it is. */
  serve(crd: DeepReadonly<Crd>): Promise<void>;
  /** Ends it, watches included. */
  withdraw(name: string): void;
  /** Deletes all instances; resolves with how many are still there (held by finalizers). */
  deleteInstances(crd: DeepReadonly<Crd>): Promise<number>;
  /** Calls back when an instance has gone; returns how to stop that. */
  onInstanceGone(crd: DeepReadonly<Crd>, fn: () => void): () => void;
}

export interface CrdControllerDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reader: ObjectReader;
  readonly writer: Writer;
  readonly cache: ResourceCache;
  readonly server: CrdServer;
}

/** Between tries of something that failed, in ms. */
const RETRY_MS = 1000;

export class CrdController {
  readonly #deps: CrdControllerDeps;
  /** Definitions that have work to do, and those being worked on. */
  readonly #dirty = new Set<string>();
  readonly #busy = new Set<string>();
  readonly #waiting = new Map<string, () => void>();
  #idle: (() => void)[] = [];
  #watcher: { close(): void } | undefined;
  #stopped = false;

  constructor(deps: CrdControllerDeps) {
    this.#deps = deps;
  }

  /** Starts; resolves when everything that was there is served. */
  async start(): Promise<void> {
    await this.#follow();
    await this.#settled();
  }

  stop(): void {
    this.#stopped = true;
    this.#watcher?.close();
    for (const end of this.#waiting.values()) end();
    this.#waiting.clear();
  }

  async #follow(): Promise<void> {
    if (this.#stopped) return;
    const { cache } = this.#deps;
    const list = await cache.list();
    this.#watcher = cache.watch(
      list.revision,
      {},
      {
        event: (event) => {
          this.#seen(event);
          return true;
        },
        progress() {},
        end: (error) => {
          if (this.#stopped) return;
          this.#deps.logger.warn('the watch on custom resource definitions ended; starting anew', { error });
          void this.#follow().catch((e: unknown) =>
            this.#deps.logger.error('custom resource definitions can no longer be followed', { error: e }),
          );
        },
      },
    );
    for (const entry of list.entries) this.#enqueue(entry.name);
  }

  #seen(event: CacheEvent): void {
    this.#enqueue(event.entry.name);
    // A name may have become free: the others of the group look again.
    const gone = event.type === 'delete' || this.#givesUpNames(event);
    if (!gone) return;
    const { group } = (event.entry.object() as DeepReadonly<Crd>).spec;
    for (const other of this.#deps.reader.list<Crd>(CRDS))
      if (other.spec.group === group && other.metadata?.name !== event.entry.name && !isTrue(other, 'NamesAccepted'))
        this.#enqueue(other.metadata!.name!);
  }

  #givesUpNames(event: CacheEvent): boolean {
    if (!event.previous) return false;
    const before = (event.previous.object() as DeepReadonly<Crd>).status?.acceptedNames;
    return (
      before !== undefined && !sameNames(before, (event.entry.object() as DeepReadonly<Crd>).status?.acceptedNames)
    );
  }

  #enqueue(name: string): void {
    this.#dirty.add(name);
    if (!this.#busy.has(name)) void this.#work(name);
  }

  async #work(name: string): Promise<void> {
    this.#busy.add(name);
    while (this.#dirty.delete(name) && !this.#stopped) {
      try {
        await this.#reconcile(name);
      } catch (error) {
        if (this.#stopped || hasCode(error, 404, 409)) continue;
        this.#deps.logger.error('a custom resource definition could not be brought up', { name, error });
        this.#deps.clock.after(RETRY_MS, () => this.#enqueue(name), { background: true });
      }
    }
    this.#busy.delete(name);
    if (this.#busy.size === 0) for (const fn of this.#idle.splice(0)) fn();
  }

  #settled(): Promise<void> {
    return this.#busy.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  async #reconcile(name: string): Promise<void> {
    const { reader, server } = this.#deps;
    let crd = reader.get<Crd>(CRDS, '', name);
    if (!crd) {
      this.#waiting.get(name)?.();
      this.#waiting.delete(name);
      server.withdraw(name);
      return;
    }
    crd = await this.#settleApproval(await this.#settleNames(crd));
    if (isTrue(crd, 'NamesAccepted') || isTrue(crd, 'Established')) {
      await server.serve(crd);
      if (!isTrue(crd, 'Established') && isTrue(crd, 'NamesAccepted'))
        await this.#status(crd, {
          type: 'Established',
          status: 'True',
          reason: 'InitialNamesAccepted',
          message: 'the initial names have been accepted',
        });
    } else server.withdraw(name);
    if (crd.metadata?.deletionTimestamp !== undefined && crd.metadata.finalizers?.includes(CLEANUP_FINALIZER))
      await this.#cleanUp(crd);
  }

  /** Settles the names; when they are all accepted the resource is served before anybody is told. */
  async #settleNames(crd: DeepReadonly<Crd>): Promise<DeepReadonly<Crd>> {
    const { reader, server } = this.#deps;
    if (sameNames(crd.spec.names, crd.status?.acceptedNames) && conditionOf(crd, 'NamesAccepted')) return crd;
    const { accepted, condition } = acceptNames(crd, reader.list<Crd>(CRDS));
    const before = conditionOf(crd, 'NamesAccepted');
    const same =
      before?.status === condition.status && before.reason === condition.reason && before.message === condition.message;
    if (same && sameNames(crd.status?.acceptedNames, accepted)) return crd;
    const approval = approvalCondition(crd);
    const conditions = approval ? [approval, condition] : [condition];
    if (!isTrue(crd, 'Established')) {
      if (condition.status === 'True') {
        await server.serve({ ...crd, status: { ...crd.status, acceptedNames: accepted } });
        conditions.push({
          type: 'Established',
          status: 'True',
          reason: 'InitialNamesAccepted',
          message: 'the initial names have been accepted',
        });
      } else
        conditions.push({
          type: 'Established',
          status: 'False',
          reason: 'NotAccepted',
          message: 'not all names are accepted',
        });
    }
    return this.#write(crd, (status) => {
      status.acceptedNames = accepted;
      for (const c of conditions) status.conditions = withCondition(status.conditions, c, this.#now());
    });
  }

  async #settleApproval(crd: DeepReadonly<Crd>): Promise<DeepReadonly<Crd>> {
    const wanted = approvalCondition(crd);
    const now = wanted && conditionOf(crd, wanted.type);
    if (!wanted || (now?.status === wanted.status && now.reason === wanted.reason && now.message === wanted.message))
      return crd;
    return this.#status(crd, wanted);
  }

  #status(crd: DeepReadonly<Crd>, condition: CrdCondition): Promise<DeepReadonly<Crd>> {
    return this.#write(crd, (status) => {
      status.conditions = withCondition(status.conditions, condition, this.#now());
    });
  }

  #now(): string {
    return formatTime(this.#deps.clock.now());
  }

  /** Writes the status of the very object that was looked at; 409 when it has changed since. */
  async #write(
    crd: DeepReadonly<Crd>,
    change: (status: NonNullable<Crd['status']>) => void,
  ): Promise<DeepReadonly<Crd>> {
    return this.#deps.writer.update<Crd>(
      CRDS,
      '',
      crd.metadata!.name!,
      (current) => {
        if (current.metadata?.uid !== crd.metadata?.uid || encodeJson(current.spec) !== encodeJson(crd.spec))
          throw new StatusError(409, 'Conflict', 'the definition has changed');
        const status = { ...current.status } as NonNullable<Crd['status']>;
        change(status);
        return { ...current, status } as Crd;
      },
      'status',
    ) as Promise<DeepReadonly<Crd>>;
  }

  async #cleanUp(crd: DeepReadonly<Crd>): Promise<void> {
    const { server, writer, logger } = this.#deps;
    const name = crd.metadata!.name!;
    if (isTrue(crd, 'Established')) {
      if (!this.#waiting.has(name))
        this.#waiting.set(
          name,
          server.onInstanceGone(crd, () => this.#enqueue(name)),
        );
      const left = await server.deleteInstances(crd);
      if (left > 0) {
        logger.debug('instances are held by finalizers', { name, left });
        if (conditionOf(crd, 'Terminating')?.reason !== 'InstanceDeletionInProgress')
          await this.#status(crd, {
            type: 'Terminating',
            status: 'True',
            reason: 'InstanceDeletionInProgress',
            message: 'CustomResource deletion is in progress',
          });
        return;
      }
      this.#waiting.get(name)?.();
      this.#waiting.delete(name);
    }
    // Through the status endpoint: whatever else is wrong with the definition must not keep it.
    await writer.update<KubeObject>(
      CRDS,
      '',
      name,
      (current) => {
        const finalizers = current.metadata?.finalizers?.filter((f) => f !== CLEANUP_FINALIZER);
        return { ...current, metadata: { ...current.metadata, finalizers } } as KubeObject;
      },
      'status',
    );
  }
}
