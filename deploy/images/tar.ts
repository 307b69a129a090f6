/** Writes ustar archives (GNU long names) that are the same bytes for the same content: owner 0, times 0, sorted. */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** Where the bytes go. */
export type Sink = (chunk: Buffer) => void;

const BLOCK = 512;
const zeros = Buffer.alloc(BLOCK);

function header(name: string, mode: number, size: number, type: string, link = ''): Buffer {
  const h = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    h.write(value.toString(8).padStart(length - 1, '0') + '\0', at, 'latin1');
  h.write(name.slice(0, 100), 0, 'utf8');
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  h.write('        ', 148, 'latin1');
  h.write(type, 156, 'latin1');
  h.write(link.slice(0, 100), 157, 'utf8');
  h.write('ustar\0' + '00', 257, 'latin1');
  let sum = 0;
  for (const b of h) sum += b;
  h.write(sum.toString(8).padStart(6, '0') + '\0 ', 148, 'latin1');
  return h;
}

function pad(sink: Sink, size: number): void {
  if (size % BLOCK) sink(zeros.subarray(0, BLOCK - (size % BLOCK)));
}

function longField(sink: Sink, type: 'L' | 'K', text: string): void {
  const bytes = Buffer.from(text + '\0');
  sink(header('././@LongLink', 0o644, bytes.length, type));
  sink(bytes);
  pad(sink, bytes.length);
}

/** Hands each piece to a sink as it is written; `end` closes the archive. */
export class TarWriter {
  readonly #sink: Sink;
  constructor(sink: Sink) {
    this.#sink = sink;
  }
  #entry(name: string, mode: number, size: number, type: string, link = ''): void {
    if (Buffer.byteLength(name) > 100) longField(this.#sink, 'L', name);
    if (Buffer.byteLength(link) > 100) longField(this.#sink, 'K', link);
    this.#sink(header(name, mode, size, type, link));
  }
  directory(name: string, mode = 0o755): void {
    this.#entry(name.endsWith('/') ? name : `${name}/`, mode, 0, '5');
  }
  symlink(name: string, target: string): void {
    this.#entry(name, 0o777, 0, '2', target);
  }
  bytes(name: string, content: Buffer | string, mode = 0o644): void {
    const b = Buffer.from(content);
    this.#entry(name, mode, b.length, '0');
    this.#sink(b);
    pad(this.#sink, b.length);
  }
  /** A file of the disk under another name; its permission bits are kept. */
  file(name: string, path: string, mode?: number): void {
    const stat = lstatSync(path);
    this.#entry(name, mode ?? stat.mode & 0o7777, stat.size, '0');
    const fd = openSync(path, 'r');
    try {
      const chunk = Buffer.allocUnsafe(1 << 20);
      for (let n = readSync(fd, chunk); n > 0; n = readSync(fd, chunk)) this.#sink(Buffer.from(chunk.subarray(0, n)));
    } finally {
      closeSync(fd);
    }
    pad(this.#sink, stat.size);
  }
  /** A whole folder below `name` ('' for the root of the archive); `keep` filters by path inside the folder. */
  tree(name: string, folder: string, keep: (path: string) => boolean = () => true, inner = ''): void {
    for (const e of readdirSync(join(folder, inner), { withFileTypes: true }).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    )) {
      const path = inner === '' ? e.name : `${inner}/${e.name}`;
      if (!keep(path)) continue;
      const to = name === '' ? path : `${name}/${path}`;
      const from = join(folder, path);
      if (e.isSymbolicLink()) this.symlink(to, readlinkSync(from));
      else if (e.isDirectory()) {
        this.directory(to, lstatSync(from).mode & 0o7777);
        this.tree(name, folder, keep, path);
      } else if (e.isFile()) this.file(to, from);
    }
  }
  end(): void {
    this.#sink(zeros);
    this.#sink(zeros);
  }
}
