/** The thread of yaml-thread.ts: one document in, one answer out. */
import { parentPort, workerData } from 'node:worker_threads';
import { DecodeError } from '../../api/codec/errors.ts';
import { encodeJson } from '../../api/codec/json.ts';
import { decodeYaml } from '../../api/codec/yaml.ts';
import type { Converted } from './yaml-thread.ts';

function convert(text: string): Converted {
  try {
    const { value, ...rest } = decodeYaml(text);
    return { json: encodeJson(value), ...rest };
  } catch (error) {
    if (error instanceof DecodeError) return { error: error.message };
    throw error;
  }
}

parentPort!.postMessage(convert(workerData as string));
