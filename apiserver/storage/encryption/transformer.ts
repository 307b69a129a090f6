/** Chooses the provider of each value: by resource and order on the way in, by the stored prefix on the way out. */
import { randomBytes } from 'node:crypto';
import type { ValueTransformer } from '../transform.ts';
import { openCbc, openGcm, sealCbc, sealGcm } from './aes.ts';
import { splitResource, type ConfigKey, type KmsConfig, type ResourceRule } from './config.ts';
import type { Kms } from './kms.ts';
import { open, seal } from './secretbox.ts';

/** One key of one provider. `aad` is the value's key in the store. */
interface Provider {
  /** What its values begin with; empty for identity. */
  readonly prefix: Buffer;
  encrypt(plain: Buffer, aad: Buffer): Buffer | Promise<Buffer>;
  /** Throws when the value isn't its own. */
  decrypt(data: Buffer, aad: Buffer): Buffer | Promise<Buffer>;
  stale?(data: Buffer): boolean;
}

const ENCRYPTED = Buffer.from('k8s:enc:');
const SECRETBOX_NONCE = 24;

const startsWith = (value: Buffer, prefix: Buffer) =>
  value.length >= prefix.length && value.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;

const identity: Provider = {
  prefix: Buffer.alloc(0),
  encrypt: (plain) => plain,
  decrypt(data) {
    if (startsWith(data, ENCRYPTED)) throw new Error('the value is encrypted, and no provider has its prefix');
    return data;
  },
};

type KeyProvider = (key: Buffer) => Pick<Provider, 'encrypt' | 'decrypt'>;

const BY_KEY: Record<'aescbc' | 'aesgcm' | 'secretbox', KeyProvider> = {
  aescbc: (key) => ({ encrypt: (plain) => sealCbc(key, plain), decrypt: (data) => openCbc(key, data) }),
  aesgcm: (key) => ({
    encrypt: (plain, aad) => sealGcm(key, plain, aad),
    decrypt: (data, aad) => openGcm(key, data, aad),
  }),
  secretbox: (key) => ({
    encrypt(plain) {
      const nonce = randomBytes(SECRETBOX_NONCE);
      return Buffer.concat([nonce, seal(key, nonce, plain)]);
    },
    decrypt(data) {
      const plain = open(key, data.subarray(0, SECRETBOX_NONCE), data.subarray(SECRETBOX_NONCE));
      if (!plain) throw new Error('the box was made with another key, or was changed');
      return plain;
    },
  }),
};

const keyProvider = (type: keyof typeof BY_KEY, key: ConfigKey): Provider => ({
  prefix: Buffer.from(`k8s:enc:${type}:v1:${key.name}:`),
  ...BY_KEY[type](key.secret),
});

const kmsProvider = (kms: Kms): Provider => ({
  prefix: Buffer.from(`k8s:enc:kms:v2:${kms.name}:`),
  encrypt: (plain, aad) => kms.encrypt(plain, aad),
  decrypt: (data, aad) => kms.decrypt(data, aad),
  stale: (data) => kms.stale(data),
});

/** API groups whose names have no dot, so that the first part of a key tells a group from a core resource. */
const SHORT_GROUPS = new Set(['apps', 'autoscaling', 'batch', 'policy', 'extensions']);

/** The resource and group of a store key: `/secrets/ns/name`, `/apps/deployments/ns/name`. */
function resourceOf(key: string): { resource: string; group: string } {
  const first = key.indexOf('/', 1);
  const head = key.slice(1, first < 0 ? undefined : first);
  if (first < 0 || !(head.includes('.') || SHORT_GROUPS.has(head))) return { resource: head, group: '' };
  const second = key.indexOf('/', first + 1);
  return { resource: key.slice(first + 1, second < 0 ? undefined : second), group: head };
}

/** The server's own bookkeeping is no resource. */
const OWN_GROUP = 'k8ts.io';

export interface TransformerOptions {
  /** Before each key of the store in what is authenticated (etcd's prefix: `/registry`). */
  readonly keyPrefix: string;
  /** A key of the store as `/RESOURCE/...` or `/GROUP/RESOURCE/...`, where the store has it in another form. */
  readonly ownKey?: (key: string) => string;
  kms(config: KmsConfig): Kms;
}

/** Makes a transformer of a configuration. */
export function createTransformer(rules: readonly ResourceRule[], options: TransformerOptions): ValueTransformer {
  const byResource = new Map<string, Provider[]>();
  for (const rule of rules) {
    const providers = rule.providers.flatMap((p): Provider[] => {
      if (p.type === 'identity') return [identity];
      if (p.type === 'kms') return [kmsProvider(options.kms(p))];
      return p.keys.map((k) => keyProvider(p.type, k));
    });
    for (const r of rule.resources) {
      const { resource, group } = splitResource(r);
      const name = `${resource}.${group}`;
      byResource.set(name, [...(byResource.get(name) ?? []), ...providers]);
    }
  }
  const found = new Map<string, readonly Provider[] | undefined>();
  const providersOf = (key: string): readonly Provider[] | undefined => {
    const { resource, group } = resourceOf(options.ownKey?.(key) ?? key);
    if (group === OWN_GROUP) return undefined;
    const name = `${resource}.${group}`;
    if (found.has(name)) return found.get(name);
    const providers = byResource.get(name) ?? byResource.get(`*.${group}`) ?? byResource.get('*.*');
    found.set(name, providers);
    return providers;
  };
  const aadOf = (key: string) => Buffer.from(options.keyPrefix + key);

  async function read(key: string, stored: Buffer, providers: readonly Provider[]): Promise<Buffer> {
    const errors: string[] = [];
    for (const p of providers) {
      if (!startsWith(stored, p.prefix)) continue;
      try {
        return await p.decrypt(stored.subarray(p.prefix.length), aadOf(key));
      } catch (error) {
        errors.push((error as Error).message);
      }
    }
    throw new Error(errors.length > 0 ? errors.join('; ') : 'no matching prefix found');
  }

  return {
    async toStorage(key, value) {
      const writer = providersOf(key)?.[0];
      if (!writer || writer === identity) return value;
      const data = await writer.encrypt(value, aadOf(key));
      return Buffer.concat([writer.prefix, data]);
    },
    fromStorage(key, stored) {
      const providers = providersOf(key);
      if (!providers) return identity.decrypt(stored, stored);
      return read(key, stored, providers);
    },
    async stale(key, stored) {
      const [writer, ...others] = providersOf(key) ?? [identity];
      if (!writer) return false;
      if (writer === identity) return startsWith(stored, ENCRYPTED);
      if (!startsWith(stored, writer.prefix)) return true;
      const data = stored.subarray(writer.prefix.length);
      if (writer.stale?.(data)) return true;
      // Keys may share a name: then only trying tells whose value it is.
      if (!others.some((p) => p.prefix.equals(writer.prefix))) return false;
      try {
        await writer.decrypt(data, aadOf(key));
        return false;
      } catch {
        return true;
      }
    },
  };
}
