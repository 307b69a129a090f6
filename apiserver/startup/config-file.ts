/** Configuration files of the API server: YAML or JSON of one kind, read strictly. */
import { decodeYaml } from '../../api/codec/yaml.ts';
import type { FieldError } from '../../api/field-errors.ts';
import type { JsonObject, JsonValue } from '../../api/types.ts';
import { durationMs } from '../flags.ts';

/** What a field may hold. Durations become milliseconds. */
export type Shape =
  | 'string'
  | 'bool'
  | 'int'
  | 'number'
  | 'duration'
  | 'any'
  | { readonly list: Shape }
  | { readonly fields: Readonly<Record<string, Shape>> };

/** The kinds that a file may be of. */
export interface ConfigKind {
  readonly apiVersions: readonly string[];
  readonly kind: string;
  readonly fields: Readonly<Record<string, Shape>>;
}

/** A configuration file that can't be used; the message is one sentence. */
export class ConfigError extends Error {}

/** Reads a file's text. Unknown and repeated fields are refused. Throws a ConfigError. */
export function readConfig(text: string, kind: ConfigKind): JsonObject {
  let decoded: ReturnType<typeof decodeYaml>;
  try {
    decoded = decodeYaml(text);
  } catch (error) {
    throw new ConfigError(`it is neither YAML nor JSON: ${(error as Error).message}`);
  }
  return checkConfig(decoded.value, kind, decoded.duplicates);
}

/** The same for a value that was found inside another file. */
export function checkConfig(value: JsonValue, kind: ConfigKind, duplicates: readonly string[] = []): JsonObject {
  if (duplicates.length > 0) throw new ConfigError(`field ${duplicates[0]} is given twice`);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ConfigError('it holds no object');
  const [is, version] = [value['kind'], value['apiVersion']];
  if (is !== kind.kind || typeof version !== 'string' || !kind.apiVersions.includes(version)) {
    throw new ConfigError(
      `expected kind ${kind.kind} of ${kind.apiVersions.join(' or ')}, got ${JSON.stringify(is ?? '')} of ${JSON.stringify(version ?? '')}`,
    );
  }
  return read(value, { fields: { apiVersion: 'string', kind: 'string', ...kind.fields } }, '') as JsonObject;
}

function read(value: JsonValue, shape: Shape, path: string): JsonValue {
  const wrong = (want: string) => new ConfigError(`${path} must be ${want}`);
  if (shape === 'any') return value;
  if (typeof shape === 'string') {
    switch (shape) {
      case 'string':
        if (typeof value !== 'string') throw wrong('a string');
        return value;
      case 'bool':
        if (typeof value !== 'boolean') throw wrong('true or false');
        return value;
      case 'int':
        if (!Number.isInteger(value)) throw wrong('a whole number');
        return value;
      case 'number':
        if (typeof value !== 'number') throw wrong('a number');
        return value;
      case 'duration': {
        const negative = typeof value === 'string' && value.startsWith('-');
        const ms = typeof value === 'string' ? durationMs(negative ? value.slice(1) : value) : undefined;
        if (ms === undefined) throw wrong('a duration such as "30s"');
        return negative ? -ms : ms;
      }
    }
  }
  if ('list' in shape) {
    if (!Array.isArray(value)) throw wrong('a list');
    return value.map((v, i) => read(v, shape.list, `${path}[${i}]`));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('an object');
  const out: JsonObject = {};
  for (const name of Object.keys(value)) {
    const v = value[name] ?? null;
    const at = path === '' ? name : `${path}.${name}`;
    const field = Object.hasOwn(shape.fields, name) ? shape.fields[name] : undefined;
    if (field === undefined) throw new ConfigError(`unknown field "${at}"`);
    // null is the same as absent, as everywhere in the API
    if (v !== null) out[name] = read(v, field, at);
  }
  return out;
}

/** Throws a ConfigError that names all errors, if there are any. */
export function refuse(errors: readonly FieldError[]): void {
  if (errors.length === 0) return;
  const texts = errors.map((e) => `${e.field}: ${e.message}`);
  throw new ConfigError(texts.length === 1 ? texts[0]! : `[${texts.join(', ')}]`);
}
