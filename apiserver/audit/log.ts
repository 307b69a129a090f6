/** Events as lines of a file that is rotated, or of standard output. */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { AuditBackend } from './auditor.ts';
import { truncated } from './truncate.ts';

export interface LogOptions {
  clock: Clock;
  logger: Logger;
  /** `-` is standard output. */
  path: string;
  /** Days that old files are kept; 0 is for ever. */
  maxAgeDays?: number;
  /** Old files that are kept; 0 is all. */
  maxBackups?: number;
  /** Bytes after which a new file is begun; defaults to 100 MiB. */
  maxBytes?: number;
  /** An event that can't be written refuses its request (blocking-strict). */
  strict?: boolean;
  /** Old files are gzipped. */
  compress?: boolean;
  /** Events longer than this lose their objects; unlimited when absent. */
  maxEventBytes?: number;
  /** Standard output; defaults to the process' own. */
  stdout?: { write(text: string): unknown };
}

const MIB = 1024 * 1024;
/** Lines that wait for the disk are at most so long together; what comes then is lost, and said so. */
const MAX_WAITING = 64 * MIB;
const DAY = 86_400_000;

/** Opens the file at once, so that a wrong path is known early. */
export async function createLogBackend(options: LogOptions): Promise<AuditBackend> {
  const { clock, logger, path } = options;
  const maxBytes = options.maxBytes ?? 100 * MIB;
  const head = '{"kind":"Event","apiVersion":"audit.k8s.io/v1",';
  const line = (json: string) => `${head}${json.slice(1)}\n`;
  if (path === '-') {
    const out = options.stdout ?? process.stdout;
    return {
      take(event, json) {
        const text = truncated(event, json, options.maxEventBytes ?? Infinity);
        if (text !== undefined) out.write(line(text));
      },
      close: async () => {},
    };
  }
  let file: FileHandle = await open(path, 'a', 0o600);
  let size = (await file.stat()).size;
  let waiting: string[] = [];
  let waiters: { done(): void; failed(error: unknown): void }[] = [];
  let waitingBytes = 0;
  let lost = 0;
  let writing: Promise<void> | undefined;

  async function write(): Promise<void> {
    while (waiting.length > 0) {
      const text = waiting.join('');
      const told = waiters;
      waiting = [];
      waiters = [];
      waitingBytes = 0;
      const bytes = Buffer.from(text);
      try {
        if (size > 0 && size + bytes.length > maxBytes) await rotate();
        await file.appendFile(bytes);
        size += bytes.length;
        for (const w of told) w.done();
      } catch (error) {
        for (const w of told) w.failed(error);
        logger.error('audit events could not be written', { path, error });
      }
      if (lost > 0) {
        logger.error('audit events were lost: the disk is too slow', { path, events: lost });
        lost = 0;
      }
    }
    writing = undefined;
  }

  const ext = extname(path);
  const stem = `${basename(path, ext)}-`;

  async function rotate(): Promise<void> {
    await file.close();
    const stamp = new Date(clock.now()).toISOString().slice(0, -1).replace(/:/g, '-');
    let old = join(dirname(path), `${stem}${stamp}${ext}`);
    for (let n = 1; await exists(old); n++) old = join(dirname(path), `${stem}${stamp}-${n}${ext}`);
    await rename(path, old);
    file = await open(path, 'a', 0o600);
    size = 0;
    if (options.compress) {
      await pipeline(createReadStream(old), createGzip(), createWriteStream(`${old}.gz`, { mode: 0o600 }));
      await unlink(old);
    }
    await clean();
  }

  async function clean(): Promise<void> {
    const dir = dirname(path);
    const names = (await readdir(dir)).filter(
      (n) => n.startsWith(stem) && /^\d{4}-\d\d-\d\dT/.test(n.slice(stem.length)),
    );
    names.sort().reverse();
    const oldest = options.maxAgeDays ? clock.now() - options.maxAgeDays * DAY : -Infinity;
    for (const [i, name] of names.entries()) {
      const tooMany = options.maxBackups !== undefined && options.maxBackups > 0 && i >= options.maxBackups;
      const at = Date.parse(name.slice(stem.length).replace(/T(\d\d)-(\d\d)-(\d\d\.\d{3}).*$/, 'T$1:$2:$3Z'));
      if (tooMany || at < oldest) await unlink(join(dir, name));
    }
  }

  return {
    take(event, json) {
      const text = truncated(event, json, options.maxEventBytes ?? Infinity);
      if (text === undefined) return undefined;
      if (waitingBytes + text.length > MAX_WAITING) {
        lost++;
        return options.strict ? Promise.reject(new Error('the disk is too slow')) : undefined;
      }
      waitingBytes += text.length;
      waiting.push(line(text));
      const written = options.strict ? new Promise<void>((done, failed) => waiters.push({ done, failed })) : undefined;
      writing ??= Promise.resolve().then(write);
      return written;
    },
    async close() {
      while (writing) await writing;
      await file.close();
    },
  };
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
