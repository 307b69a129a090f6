/** Container logs: from CRI's files to what `kubectl logs` shows. */
import { watch, type FSWatcher } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import type { ContainerStatus, DeepReadonly, PodStatus } from '../../api/types.ts';
import { formatTime } from '../../base/clock.ts';
import { HttpError, writeSlowly } from './http.ts';

export interface LogOptions {
  follow: boolean;
  timestamps: boolean;
  previous: boolean;
  tailLines?: number;
  limitBytes?: number;
  /** RFC 3339; lines before it are left out. */
  since?: string;
  stream?: 'stdout' | 'stderr';
}

const bool = (v: string | null): boolean => v === 'true' || v === '1' || v === '';

/** Reads PodLogOptions from a query. */
export function parseLogOptions(query: URLSearchParams, now: number): LogOptions {
  const out: LogOptions = {
    follow: query.has('follow') && bool(query.get('follow')),
    timestamps: query.has('timestamps') && bool(query.get('timestamps')),
    previous: query.has('previous') && bool(query.get('previous')),
  };
  const number = (name: string, min: number): number | undefined => {
    const text = query.get(name);
    if (text === null || text === '') return undefined;
    const n = Number(text);
    if (!Number.isInteger(n) || n < min) throw new HttpError(422, `invalid ${name}: must be at least ${min}`);
    return n;
  };
  const tail = query.get('tailLines') === 'all' ? undefined : number('tailLines', 0);
  if (tail !== undefined) out.tailLines = tail;
  const limit = number('limitBytes', 1);
  if (limit !== undefined) out.limitBytes = limit;
  const seconds = number('sinceSeconds', 1);
  const time = query.get('sinceTime');
  if (seconds !== undefined && time)
    throw new HttpError(422, 'at most one of `sinceTime` or `sinceSeconds` may be specified');
  if (seconds !== undefined) out.since = new Date(now - seconds * 1000).toISOString();
  if (time) {
    const ms = Date.parse(time);
    if (Number.isNaN(ms)) throw new HttpError(400, `invalid sinceTime: ${time}`);
    out.since = time.endsWith('Z') ? time : formatTime(ms);
  }
  const stream = query.get('stream');
  if (stream === 'Stdout') out.stream = 'stdout';
  if (stream === 'Stderr') out.stream = 'stderr';
  return out;
}

/** The container whose log is meant; fails with the words that people know. */
export function logContainer(
  podName: string,
  status: DeepReadonly<PodStatus> | undefined,
  name: string,
  previous: boolean,
): string {
  const all = [
    ...(status?.containerStatuses ?? []),
    ...(status?.initContainerStatuses ?? []),
    ...(status?.ephemeralContainerStatuses ?? []),
  ] as DeepReadonly<ContainerStatus>[];
  const c = all.find((s) => s.name === name);
  if (!c)
    throw new HttpError(400, `container ${JSON.stringify(name)} in pod ${JSON.stringify(podName)} is not available`);
  const strip = (id: string) => id.replace(/^.*:\/\//, '');
  const last = c.lastState?.terminated;
  if (previous) {
    if (!last?.containerID)
      throw new HttpError(
        400,
        `previous terminated container ${JSON.stringify(name)} in pod ${JSON.stringify(podName)} not found`,
      );
    return strip(last.containerID);
  }
  if (c.state?.running && c.containerID) return strip(c.containerID);
  if (c.state?.terminated) {
    if (c.state.terminated.containerID) return strip(c.state.terminated.containerID);
    if (last?.containerID) return strip(last.containerID);
    throw new HttpError(400, `container ${JSON.stringify(name)} in pod ${JSON.stringify(podName)} is terminated`);
  }
  if (last?.containerID) return strip(last.containerID);
  const w = c.state?.waiting;
  if (w) {
    if (w.reason === 'ImagePullBackOff')
      throw new HttpError(
        400,
        `container ${JSON.stringify(name)} in pod ${JSON.stringify(podName)} is waiting to start: trying and failing to pull image`,
      );
    if (w.reason === 'ErrImagePull')
      throw new HttpError(
        400,
        `container ${JSON.stringify(name)} in pod ${JSON.stringify(podName)} is waiting to start: image can't be pulled`,
      );
    throw new HttpError(
      400,
      `container ${JSON.stringify(name)} in pod ${JSON.stringify(podName)} is waiting to start: ${w.reason}`,
    );
  }
  throw new HttpError(400, `container ${JSON.stringify(name)} in pod ${JSON.stringify(podName)} is not available`);
}

const CHUNK = 64 * 1024;
const NEWLINE = 10;

/** Where the last `lines` lines of a file begin. */
export async function tailOffset(file: FileHandle, size: number, lines: number): Promise<number> {
  if (lines === 0) return size;
  let left = lines + 1;
  const buffer = Buffer.alloc(CHUNK);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - CHUNK);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    for (let i = bytesRead - 1; i >= 0; i--) {
      if (buffer[i] !== NEWLINE) continue;
      // the newline at the very end closes the last line
      if (start + i === size - 1) {
        left--;
        continue;
      }
      if (--left <= 0) return start + i + 1;
    }
    if (left === lines + 1 && start === 0) return 0;
    end = start;
  }
  return 0;
}

/** One CRI line without its newline as what is shown; undefined when it is left out. */
export function renderLine(line: Buffer, o: Pick<LogOptions, 'timestamps' | 'since' | 'stream'>): Buffer | undefined {
  const a = line.indexOf(32);
  const b = line.indexOf(32, a + 1);
  const c = line.indexOf(32, b + 1);
  if (a < 0 || b < 0) return undefined;
  const time = line.toString('latin1', 0, a);
  if (o.since && compareTimes(time, o.since) < 0) return undefined;
  if (o.stream && line.toString('latin1', a + 1, b) !== o.stream) return undefined;
  const flag = c < 0 ? line.toString('latin1', b + 1) : line.toString('latin1', b + 1, c);
  const content = c < 0 ? Buffer.alloc(0) : line.subarray(c + 1);
  const partial = flag.split(':')[0] === 'P';
  const parts: Buffer[] = [];
  if (o.timestamps) parts.push(line.subarray(0, a + 1));
  parts.push(content);
  if (!partial) parts.push(Buffer.from('\n'));
  return Buffer.concat(parts);
}

/** Compares RFC 3339 times of any precision. */
function compareTimes(a: string, b: string): number {
  const d = Date.parse(a) - Date.parse(b);
  if (d !== 0 || Number.isNaN(d)) return d;
  const fraction = (t: string) => (/\.(\d+)/.exec(t)?.[1] ?? '').padEnd(9, '0');
  return fraction(a) < fraction(b) ? -1 : fraction(a) > fraction(b) ? 1 : 0;
}

/** Waits for a change of a folder, at most `ms`. */
function changed(watcher: FSWatcher | undefined, clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      watcher?.off('change', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(ms, done, { background: true });
    watcher?.on('change', done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** Sends a log; follows it while `isRunning` says that more may come. */
export async function sendLog(
  res: ServerResponse,
  path: string,
  o: LogOptions,
  deps: { clock: Clock; isRunning(): boolean },
): Promise<void> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !o.follow) {
      res.writeHead(200, { 'Content-Type': 'text/plain' });
      res.end();
      return;
    }
    throw new HttpError(
      500,
      `failed to try resolving symlinks in path ${JSON.stringify(path)}: ${(error as Error).message}`,
    );
  }
  const ended = new AbortController();
  res.on('close', () => ended.abort());
  let watcher: FSWatcher | undefined;
  try {
    if (o.follow) {
      try {
        watcher = watch(dirname(path), { persistent: false });
        watcher.on('error', () => watcher?.close());
      } catch {
        watcher = undefined;
      }
    }
    const begin = await file.stat();
    let inode = begin.ino;
    let at = o.tailLines === undefined ? 0 : await tailOffset(file, begin.size, o.tailLines);
    // Who doesn't follow gets what was there when they asked, however fast the container writes on.
    const end = o.follow ? Infinity : begin.size;
    res.writeHead(200, { 'Content-Type': 'text/plain', 'Transfer-Encoding': 'chunked' });
    res.flushHeaders();
    let budget = o.limitBytes ?? Infinity;
    let rest: Buffer = Buffer.alloc(0);
    const buffer = Buffer.alloc(CHUNK);
    let last = false;
    while (!ended.signal.aborted && budget > 0) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, end - at), at);
      if (bytesRead > 0) {
        at += bytesRead;
        const data = rest.length
          ? Buffer.concat([rest, buffer.subarray(0, bytesRead)])
          : Buffer.from(buffer.subarray(0, bytesRead));
        const out: Buffer[] = [];
        let start = 0;
        for (let nl = data.indexOf(NEWLINE); nl >= 0; nl = data.indexOf(NEWLINE, start)) {
          const shown = renderLine(data.subarray(start, nl), o);
          start = nl + 1;
          if (shown) out.push(shown);
        }
        rest = data.subarray(start);
        if (rest.length > 1 << 20) rest = Buffer.alloc(0);
        let bytes = Buffer.concat(out);
        if (bytes.length > budget) bytes = bytes.subarray(0, budget);
        budget -= bytes.length;
        if (bytes.length && !(await writeSlowly(res, bytes))) break;
        continue;
      }
      if (!o.follow) break;
      const now = await stat(path).catch(() => undefined);
      if (now && now.ino !== inode) {
        await file.close();
        file = await open(path, 'r');
        inode = now.ino;
        at = 0;
        rest = Buffer.alloc(0);
        continue;
      }
      if (last) break;
      // one more read after the end: the last lines may have come in between
      if (!deps.isRunning()) {
        last = true;
        await changed(watcher, deps.clock, 20, ended.signal);
      } else await changed(watcher, deps.clock, 1000, ended.signal);
    }
    res.end();
  } finally {
    watcher?.close();
    await file.close().catch(() => {});
  }
}
