/** One object at one revision, as bytes; everything else is made when first asked for. */
import { parseEncoded } from '../../../api/codec/json.ts';
import type { DeepReadonly, KubeObject } from '../../../api/types.ts';
import type { Entry, ResourceCacheOptions } from '../cache.ts';
import { replaceRevision, spliceRevision } from './splice.ts';

const NO_FIELDS: Readonly<Record<string, string>> = Object.freeze({});

/** See Entry. */
export class CachedEntry implements Entry {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  /** Of a deleted object those of its last state, in which the revision is still another. */
  readonly #bytes: Buffer;
  readonly #revised: boolean;
  readonly #options: ResourceCacheOptions;
  #labels: Readonly<Record<string, string>> | undefined;
  #fields: Readonly<Record<string, string>> | undefined;
  #views: Map<string, Buffer> | undefined;
  /**
   * The parsed object: strongly while an event about it is handed round, else weakly once it was asked for twice. A
   * weak reference costs more than it seems: what it points to outlives the collections of new objects.
   */
  #object: DeepReadonly<KubeObject> | WeakRef<DeepReadonly<KubeObject>> | undefined;
  #held = false;
  #asked = 0;
  #viewed = false;

  constructor(options: ResourceCacheOptions, key: string, bytes: Buffer, revision: number, revised = true) {
    const slash = options.namespaced ? key.indexOf('/', options.prefix.length) : -1;
    this.key = key;
    this.namespace = slash < 0 ? '' : key.slice(options.prefix.length, slash);
    this.name = key.slice(slash < 0 ? options.prefix.length : slash + 1);
    this.revision = revision;
    this.#bytes = bytes;
    this.#revised = revised;
    this.#options = options;
  }

  /** An entry of what the store holds. */
  static of(options: ResourceCacheOptions, key: string, value: Buffer, revision: number): CachedEntry {
    return new CachedEntry(options, key, spliceRevision(value, revision), revision);
  }

  /** The same object under the revision of its deletion. */
  deletedAt(revision: number): CachedEntry {
    const e = new CachedEntry(this.#options, this.key, this.json, revision, false);
    e.#labels = this.#labels;
    e.#fields = this.#fields;
    return e;
  }

  /** Few ask for a deletion, and history keeps many: its bytes are made for who does. */
  get json(): Buffer {
    return this.#revised ? this.#bytes : replaceRevision(this.#bytes, this.revision);
  }

  /** About how many bytes it holds. */
  get size(): number {
    return this.#bytes.length;
  }

  get labels(): Readonly<Record<string, string>> | undefined {
    if (!this.#fields) this.#extract();
    return this.#labels;
  }

  get fields(): Readonly<Record<string, string>> {
    if (!this.#fields) this.#extract();
    return this.#fields!;
  }

  get views(): Map<string, Buffer> {
    this.#viewed = true;
    return (this.#views ??= new Map());
  }

  /** Forgets what nobody asked for since the last call. */
  sweepViews(): void {
    if (!this.#viewed) this.#views = undefined;
    this.#viewed = false;
  }

  /** Another revision has taken its place: what was encoded of this one isn't worth its memory any more. */
  dropViews(): void {
    this.#views = undefined;
  }

  object(): DeepReadonly<KubeObject> {
    this.#asked++;
    const known = this.#known();
    if (known) return known;
    const object = this.#parse();
    if (!this.#held && this.#asked > 1) this.#object = new WeakRef(object);
    return object;
  }

  /** Keeps the object, once parsed, until `release`. */
  hold(): void {
    this.#held = true;
  }

  /**
   * Takes an object somebody has at hand (without resourceVersion), which spares a parse. Call between hold and
   * release.
   */
  adopt(object: DeepReadonly<KubeObject>): void {
    this.#object = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.revision) } };
  }

  /** Lets go of the parsed object; who uses it keeps it, who asks later may have to parse. */
  release(): void {
    this.#held = false;
    if (this.#object && !(this.#object instanceof WeakRef)) {
      this.#object = this.#asked > 1 ? new WeakRef(this.#object) : undefined;
    }
  }

  #known(): DeepReadonly<KubeObject> | undefined {
    return this.#object instanceof WeakRef ? this.#object.deref() : this.#object;
  }

  #parse(): DeepReadonly<KubeObject> {
    const object = this.#options.parse ? this.#options.parse(this.json) : (parseEncoded(this.json) as KubeObject);
    if (this.#held) this.#object = object;
    return object;
  }

  #extract(): void {
    const object = this.#known() ?? this.#parse();
    this.#labels = object.metadata?.labels as Readonly<Record<string, string>> | undefined;
    this.#fields = this.#options.fields?.(object) ?? NO_FIELDS;
  }
}
