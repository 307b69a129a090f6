/** Certificate, key and CA files that are read again when they change, without a restart. */
import { watch, readFileSync, statSync, type FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import type { SecureContextOptions, Server as TlsServer } from 'node:tls';
import type { Clock, Timer } from './clock.ts';
import type { Logger } from './log.ts';

export interface ReloadOptions {
  clock: Clock;
  log?: Logger;
  /** The files; all are read together. */
  files: readonly string[];
  /** How often to look even without a notice from the file system, in milliseconds. Defaults to 60,000. */
  intervalMs?: number;
}

/** Text files that are followed. */
export interface ReloadingFiles {
  /** The contents as they last were complete, in the order of `files`. */
  readonly contents: readonly Buffer[];
  /** Called with the new contents after a change; a listener that throws keeps the old contents in force for it alone. */
  onChange(listener: (contents: readonly Buffer[]) => void): void;
  /** Looks at the files now. */
  check(): void;
  close(): void;
}

/** Reads the files and follows them; throws when one can't be read at the start. Later failures keep the old contents. */
export function followFiles(options: ReloadOptions): ReloadingFiles {
  let contents = options.files.map((f) => readFileSync(f));
  const listeners: ((contents: readonly Buffer[]) => void)[] = [];
  const stamp = () =>
    options.files
      .map((f) => statSync(f))
      .map((s) => `${s.ino}:${s.mtimeMs}:${s.size}`)
      .join();
  let seen = stamp();
  let pending: Timer | undefined;

  function check(): void {
    pending = undefined;
    try {
      const now = stamp();
      if (now === seen) return;
      const next = options.files.map((f) => readFileSync(f));
      seen = now;
      if (next.every((b, i) => b.equals(contents[i]!))) return;
      contents = next;
    } catch (error) {
      options.log?.warn('could not read changed files; keeping the old ones', { files: options.files, error });
      return;
    }
    for (const listener of listeners) {
      try {
        listener(contents);
      } catch (error) {
        options.log?.error('changed files were refused', { files: options.files, error });
      }
    }
  }

  // Kubernetes' way to replace files is a renamed symlink in the directory, so the directory is watched.
  const watchers: FSWatcher[] = [];
  for (const dir of new Set(options.files.map((f) => dirname(f)))) {
    try {
      const w = watch(dir, { persistent: false }, () => {
        // Writers replace key and certificate one after the other: wait until both are there.
        pending ??= options.clock.after(200, check, { background: true });
      });
      w.on('error', () => w.close());
      watchers.push(w);
    } catch {
      // no notices: the interval below still sees changes
    }
  }
  const interval = options.clock.every(options.intervalMs ?? 60_000, check, { background: true });

  return {
    get contents() {
      return contents;
    },
    onChange: (listener) => void listeners.push(listener),
    check,
    close() {
      interval.cancel();
      pending?.cancel();
      for (const w of watchers) w.close();
    },
  };
}

/** Gives a TLS server the files' certificate and key now and after each change; resolves the options to start with. */
export function followServerCertificate(
  options: Omit<ReloadOptions, 'files'> & { certFile: string; keyFile: string },
): {
  secureContext(): SecureContextOptions;
  attach(server: TlsServer, more?: () => SecureContextOptions): void;
  close(): void;
} {
  const files = followFiles({ ...options, files: [options.certFile, options.keyFile] });
  const secureContext = (): SecureContextOptions => ({ cert: files.contents[0], key: files.contents[1] });
  return {
    secureContext,
    attach(server, more = () => ({})) {
      files.onChange(() => server.setSecureContext({ ...more(), ...secureContext() }));
    },
    close: () => files.close(),
  };
}
