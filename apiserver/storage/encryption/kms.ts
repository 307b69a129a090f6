/**
 * KMS v2 (KEP-3299): values are encrypted here with keys derived from a seed; the plugin, over gRPC on a local
 * socket, encrypts only the seed. One seed serves until the plugin's key changes.
 */
import * as grpc from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import type { Clock, Ids, Timer } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import { openGcm, openSeeded, sealSeeded } from './aes.ts';
import type { KmsConfig } from './config.ts';

interface StatusAnswer {
  version: string;
  healthz: string;
  key_id: string;
}
interface EncryptAnswer {
  ciphertext: Buffer;
  key_id: string;
  annotations: Record<string, Buffer>;
}

const HEALTHY_POLL_MS = 60_000;
const SICK_POLL_MS = 10_000;
/** After so long without a good status the seed isn't used for writes any more. */
const SEED_VALID_MS = 180_000;
const MAX_SMALL = 1024;
const MAX_ANNOTATIONS = 32 * 1024;
/** Seeds that were decrypted and are kept. */
const MAX_SEEDS = 1000;

/** The stored message (kmsv2.EncryptedObject). */
const envelopeType = (): protobuf.Type => {
  const root = protobuf.Root.fromJSON({
    nested: {
      EncryptedObject: {
        fields: {
          encryptedData: { type: 'bytes', id: 1 },
          keyID: { type: 'string', id: 2 },
          encryptedDEKSource: { type: 'bytes', id: 3 },
          annotations: { keyType: 'string', type: 'bytes', id: 4 },
          encryptedDEKSourceType: { type: 'int32', id: 5 },
        },
      },
    },
  } as protobuf.INamespace);
  return root.lookupType('EncryptedObject');
};

interface Envelope {
  encryptedData: Buffer;
  keyID: string;
  encryptedDEKSource: Buffer;
  annotations: Record<string, Buffer>;
  encryptedDEKSourceType: number;
}
const SEED = 1;

function decodeEnvelope(type: protobuf.Type, data: Buffer): Envelope {
  const e = type.toObject(type.decode(data), {
    defaults: true,
    objects: true,
    bytes: Buffer,
  }) as Envelope;
  if (e.keyID === '' || e.encryptedDEKSource.length === 0) throw new Error('the stored envelope is not complete');
  return e;
}

type Call = (
  request: object,
  options: grpc.CallOptions,
  done: (error: grpc.ServiceError | null, answer: unknown) => void,
) => grpc.ClientUnaryCall;

function kmsService(): grpc.ServiceClientConstructor {
  const path = new URL('../../../api/facts/grpc-kms-v2.json', import.meta.url);
  const json = JSON.parse(readFileSync(path, 'utf8')) as Parameters<typeof fromJSON>[0];
  const definitions = fromJSON(json, { keepCase: true, defaults: true, objects: true });
  const loaded = grpc.loadPackageDefinition(definitions) as unknown as {
    v2: { KeyManagementService: grpc.ServiceClientConstructor };
  };
  return loaded.v2.KeyManagementService;
}

/** What a write needs. */
interface WriteState {
  readonly seed: Buffer;
  readonly envelope: Omit<Envelope, 'encryptedData'>;
}

/** One plugin. */
export interface Kms {
  readonly name: string;
  encrypt(plain: Buffer, aad: Buffer): Promise<Buffer>;
  decrypt(data: Buffer, aad: Buffer): Promise<Buffer>;
  /** The value was written under another key than the plugin uses now. */
  stale(data: Buffer): boolean;
  /** Throws what is wrong with the plugin. */
  check(): void;
  /** Asks the plugin how it is, and makes a new seed when its key has changed. Rejects when it isn't well. */
  probe(): Promise<void>;
  close(): void;
}

/** Asks the plugin for its status from time to time; `close` ends that. */
export function createKms(config: KmsConfig, deps: { clock: Clock; ids: Ids; logger: Logger }): Kms {
  const { clock, ids, logger } = deps;
  const client = new (kmsService())(config.endpoint, grpc.credentials.createInsecure()) as unknown as grpc.Client &
    Record<string, Call>;
  const call = <R>(method: string, request: object): Promise<R> =>
    new Promise((resolve, reject) => {
      client[method]!(request, { deadline: clock.now() + config.timeoutMs }, (error, answer) =>
        error ? reject(error) : resolve(answer as R),
      );
    });

  const type = envelopeType();
  let state: WriteState | undefined;
  let keyId = '';
  let validUntil = 0;
  let trouble: Error | undefined = new Error('the plugin was not asked yet');
  let probing: Promise<void> | undefined;
  let timer: Timer | undefined;
  let closed = false;
  /** Decrypted seeds, the least recently used first; a promise while the plugin works on it. */
  const seeds = new Map<string, Promise<Buffer>>();

  const cacheKey = (e: Omit<Envelope, 'encryptedData'>): string => {
    const hash = createHash('sha256');
    const part = (b: Buffer | string) => {
      const bytes = Buffer.from(b as string);
      hash.update(`${bytes.length}:`).update(bytes);
    };
    part(e.encryptedDEKSource);
    part(e.keyID);
    for (const k of Object.keys(e.annotations).sort()) {
      part(k);
      part(e.annotations[k]!);
    }
    return `${e.encryptedDEKSourceType}${hash.digest('base64')}`;
  };
  const remember = (key: string, seed: Promise<Buffer>) => {
    seeds.delete(key);
    seeds.set(key, seed);
    if (seeds.size > MAX_SEEDS) seeds.delete(seeds.keys().next().value!);
  };

  async function probe(): Promise<void> {
    const status = await call<StatusAnswer>('Status', {});
    if (status.version !== 'v2' && status.version !== 'v2beta1')
      throw new Error(`the plugin speaks version "${status.version}", not v2`);
    if (status.healthz !== 'ok') throw new Error(`the plugin is not well: ${status.healthz}`);
    checkKeyId(status.key_id);
    if (!state || keyId !== status.key_id) {
      const seed = randomBytes(32);
      const made = await call<EncryptAnswer>('Encrypt', { plaintext: seed, uid: ids.uuid() });
      if (made.key_id !== status.key_id)
        throw new Error('the plugin encrypted under another key than its status names');
      const source = Buffer.from(made.ciphertext);
      if (source.length === 0 || source.length > MAX_SMALL)
        throw new Error(`the plugin's ciphertext has ${source.length} bytes; 1 to ${MAX_SMALL} are possible`);
      const annotations = checkAnnotations(made.annotations);
      const envelope = {
        keyID: made.key_id,
        encryptedDEKSource: source,
        annotations,
        encryptedDEKSourceType: SEED,
      };
      state = { seed, envelope };
      remember(cacheKey(envelope), Promise.resolve(seed));
      if (keyId !== '') logger.info('the KMS plugin has a new key', { provider: config.name });
      keyId = status.key_id;
    }
    validUntil = clock.monotonic() + SEED_VALID_MS;
  }

  function ask(): Promise<void> {
    probing ??= probe()
      .then(
        () => (trouble = undefined),
        (error: Error) => {
          trouble = error;
          throw error;
        },
      )
      .then(() => {})
      .finally(() => {
        probing = undefined;
        timer?.cancel();
        if (!closed)
          timer = clock.after(
            trouble ? SICK_POLL_MS : HEALTHY_POLL_MS,
            () =>
              void ask().catch((error: unknown) =>
                logger.warn('the KMS plugin is not well', { provider: config.name, error }),
              ),
            { background: true },
          );
      });
    return probing;
  }

  return {
    name: config.name,
    probe: ask,
    async encrypt(plain, aad) {
      if (!state || clock.monotonic() > validUntil) await ask();
      const { seed, envelope } = state!;
      const message = { ...envelope, encryptedData: sealSeeded(seed, plain, aad) };
      return Buffer.from(type.encode(message).finish());
    },
    async decrypt(data, aad) {
      const e = decodeEnvelope(type, data);
      const key = cacheKey(e);
      let found = seeds.get(key);
      if (!found) {
        found = call<{ plaintext: Buffer }>('Decrypt', {
          ciphertext: e.encryptedDEKSource,
          uid: ids.uuid(),
          key_id: e.keyID,
          annotations: e.annotations,
        }).then((a) => Buffer.from(a.plaintext));
        found.catch(() => seeds.delete(key));
      }
      remember(key, found);
      const seed = await found;
      return e.encryptedDEKSourceType === SEED
        ? openSeeded(seed, e.encryptedData, aad)
        : openGcm(seed, e.encryptedData, aad);
    },
    stale(data) {
      const e = decodeEnvelope(type, data);
      return state !== undefined && (e.keyID !== state.envelope.keyID || e.encryptedDEKSourceType !== SEED);
    },
    check() {
      if (trouble) throw trouble;
    },
    close() {
      closed = true;
      timer?.cancel();
      client.close();
    },
  };
}

function checkKeyId(id: string): void {
  if (id === '') throw new Error('the plugin names no key');
  if (Buffer.byteLength(id) > MAX_SMALL) throw new Error("the name of the plugin's key is too long");
}

const FQDN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$/;

function checkAnnotations(given: Record<string, Buffer>): Record<string, Buffer> {
  let size = 0;
  const out: Record<string, Buffer> = {};
  for (const [k, v] of Object.entries(given)) {
    if (!FQDN.test(k)) throw new Error(`the plugin's annotation ${JSON.stringify(k)} is no domain name`);
    size += k.length + v.length;
    out[k] = Buffer.from(v);
  }
  if (size > MAX_ANNOTATIONS) throw new Error('the annotations of the plugin are too long');
  return out;
}
