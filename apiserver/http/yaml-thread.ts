/** Turns long YAML into JSON on a thread of its own: its parser is slow, and crafted texts make it slower. */
import { decodeJson, type Decoded } from '../../api/codec/json.ts';
import { DecodeError } from '../../api/codec/errors.ts';
import { badRequest } from '../../api/status.ts';
import { lazyModule } from '../../base/lazy.ts';

const threads = lazyModule<typeof import('node:worker_threads')>(import.meta.url, 'node:worker_threads');

/** What the thread answers. */
export type Converted =
  | { readonly json: string; readonly duplicates: readonly string[]; readonly notes?: readonly string[] }
  | { readonly error: string };

const MEMORY_MIB = 512;
let last: Promise<unknown> = Promise.resolve();

/**
 * Decodes a YAML document; the result makes a fresh value each time. One at a time; `signal` ends the wait and the
 * work. Rejects with 400 when it can't be read.
 */
export function convertYaml(text: string, signal: AbortSignal): Promise<() => Decoded> {
  const turn = last.then(() => convert(text, signal));
  last = turn.catch(() => {});
  return turn;
}

async function convert(text: string, signal: AbortSignal): Promise<() => Decoded> {
  signal.throwIfAborted();
  const worker = new (threads().Worker)(new URL('./yaml-worker.ts', import.meta.url), {
    workerData: text,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB },
  });
  const stop = () => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const made = await new Promise<Converted>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', () =>
        reject(badRequest('error converting YAML to JSON: yaml: the document is too complex')),
      );
      worker.once('exit', () => reject(badRequest('error converting YAML to JSON: yaml: given up')));
    });
    if ('error' in made) throw new DecodeError(made.error);
    return () => {
      const { value } = decodeJson(made.json);
      return { value, duplicates: [...made.duplicates], ...(made.notes ? { notes: [...made.notes] } : {}) };
    };
  } finally {
    signal.removeEventListener('abort', stop);
    void worker.terminate();
  }
}
