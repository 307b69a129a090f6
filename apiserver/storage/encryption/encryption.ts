/** Encryption at rest as --encryption-provider-config asks for it, read again when the file changes. */
import { readFileSync } from 'node:fs';
import type { Clock, Ids } from '../../../base/clock.ts';
import type { Logger } from '../../../base/log.ts';
import { followFiles, type ReloadingFiles } from '../../../base/tls.ts';
import type { ValueTransformer } from '../transform.ts';
import { parseEncryptionConfig } from './config.ts';
import type { Kms } from './kms.ts';
import { createTransformer } from './transformer.ts';

export interface EncryptionOptions {
  clock: Clock;
  ids: Ids;
  logger: Logger;
  /** The EncryptionConfiguration. */
  file: string;
  /** --encryption-provider-config-automatic-reload: the file is followed. */
  reload?: boolean;
  /** How often a followed file is looked at without a notice, in ms; defaults to 60,000. */
  intervalMs?: number;
  /** What the store puts before its keys (etcd's prefix); defaults to /registry. */
  keyPrefix?: string;
  /** See TransformerOptions. */
  ownKey?: (key: string) => string;
}

export interface Encryption {
  readonly transformer: ValueTransformer;
  /** Throws the first trouble of a KMS plugin. */
  check(): void;
  /** Uses KMS plugins, so that `check` says something. */
  readonly usesKms: boolean;
  /** Looks at the file now and asks the KMS plugins how they are; resolves when what is new is in force. */
  refresh(): Promise<void>;
  close(): void;
}

interface Loaded {
  readonly transformer: ValueTransformer;
  readonly plugins: readonly Kms[];
}

/**
 * Reads the configuration and waits for its KMS plugins' first answers. Rejects with EncryptionConfigError, or with
 * what a plugin said. A changed file that can't be used leaves the old one in force.
 */
export async function openEncryption(options: EncryptionOptions): Promise<Encryption> {
  const { clock, logger } = options;

  async function load(text: string): Promise<Loaded> {
    const rules = parseEncryptionConfig(text);
    const plugins: Kms[] = [];
    // Most servers have no plugin, and its library takes long to load.
    const isKms = (p: { type: string }) => p.type === 'kms';
    const kmsModule = rules.some((r) => r.providers.some(isKms)) ? await import('./kms.ts') : undefined;
    const transformer = createTransformer(rules, {
      keyPrefix: options.keyPrefix ?? '/registry',
      ownKey: options.ownKey,
      kms(config) {
        const kms = kmsModule!.createKms(config, options);
        plugins.push(kms);
        return kms;
      },
    });
    try {
      await Promise.all(plugins.map((p) => p.probe()));
    } catch (error) {
      for (const p of plugins) p.close();
      throw error;
    }
    return { transformer, plugins };
  }

  let current = await load(readFileSync(options.file, 'utf8'));
  let closed = false;
  let files: ReloadingFiles | undefined;
  let order = Promise.resolve();
  if (options.reload) {
    files = followFiles({ clock, log: logger, files: [options.file], intervalMs: options.intervalMs });
    files.onChange(([content]) => {
      order = order.then(async () => {
        try {
          const next = await load(content!.toString('utf8'));
          const old = current;
          if (closed) return next.plugins.forEach((p) => p.close());
          current = next;
          // Calls of the old plugins that are under way still end.
          clock.after(KEEP_OLD_MS, () => old.plugins.forEach((p) => p.close()), { background: true });
          logger.info('the encryption configuration was read again', { file: options.file });
        } catch (error) {
          logger.error('the changed encryption configuration is refused; the old one stays', { error });
        }
      });
    });
  }
  return {
    transformer: {
      toStorage: (key, value) => current.transformer.toStorage(key, value),
      fromStorage: (key, stored) => current.transformer.fromStorage(key, stored),
      stale: (key, stored) => current.transformer.stale!(key, stored),
    },
    get usesKms() {
      return current.plugins.length > 0;
    },
    async refresh() {
      files?.check();
      await order;
      await Promise.allSettled(current.plugins.map((p) => p.probe()));
    },
    check() {
      for (const p of current.plugins) p.check();
    },
    close() {
      closed = true;
      files?.close();
      for (const p of current.plugins) p.close();
    },
  };
}

/** How long replaced plugins' connections are kept, in ms. */
const KEEP_OLD_MS = 10_000;
