/** What a container left as its last words: the termination message file, or the end of its log. */
import { open, readFile } from 'node:fs/promises';
import { TERMINATION_FILE, TERMINATION_POLICY } from './identity.ts';
import type { PodRuntimeState, RuntimeContainerState } from './state.ts';

const MAX_FILE = 4096;
const MAX_LOG_BYTES = 2048;
const MAX_LOG_LINES = 80;

async function fromFile(path: string): Promise<string> {
  try {
    const f = await open(path, 'r');
    try {
      const buffer = Buffer.alloc(MAX_FILE);
      const { bytesRead } = await f.read(buffer, 0, MAX_FILE, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await f.close();
    }
  } catch {
    return '';
  }
}

/** The text of CRI log lines ("time stream flags text"). */
async function fromLog(path: string): Promise<string> {
  try {
    const text = await readFile(path, 'utf8');
    const lines = text.split('\n').filter(Boolean).slice(-MAX_LOG_LINES);
    const out = lines.map((line) => {
      const [, , flags, ...rest] = line.split(' ');
      return rest.join(' ') + (flags?.startsWith('P') ? '' : '\n');
    });
    return Buffer.from(out.join('')).subarray(-MAX_LOG_BYTES).toString('utf8');
  } catch {
    return '';
  }
}

/** Adds the messages of containers that have ended; those in `previous` have theirs already. */
export async function addMessages(
  state: PodRuntimeState,
  previous: PodRuntimeState | undefined,
): Promise<PodRuntimeState> {
  const known = new Set(previous?.containers);
  const containers = await Promise.all(
    state.containers.map(async (c): Promise<RuntimeContainerState> => {
      if (c.state !== 'CONTAINER_EXITED' || known.has(c)) return c;
      const file = c.annotations[TERMINATION_FILE];
      let message = file ? await fromFile(file) : '';
      if (message === '' && c.annotations[TERMINATION_POLICY] === 'FallbackToLogsOnError' && c.exit_code !== 0)
        message = await fromLog(c.log_path);
      return message === '' ? c : { ...c, message };
    }),
  );
  return { ...state, containers };
}
