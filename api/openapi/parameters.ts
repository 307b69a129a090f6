/** The parameters that operations take, by the names that api/facts/paths.json gives them. */

/** A parameter, the same for both forms of OpenAPI. */
export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'body';
  readonly type: 'string' | 'integer' | 'boolean' | 'body';
  readonly required: boolean;
  /** Name in OpenAPI v2's list of shared parameters; absent: it stands in the operation. */
  readonly shared: string | undefined;
  /** One sentence of our own where the name doesn't say it. */
  readonly description?: string;
}

const BOOLEANS = new Set([
  'allowWatchBookmarks',
  'follow',
  'force',
  'ignoreStoreReadErrorWithClusterBreakingPotential',
  'insecureSkipTLSVerifyBackend',
  'orphanDependents',
  'previous',
  'sendInitialEvents',
  'stderr',
  'stdin',
  'stdout',
  'timestamps',
  'tty',
  'watch',
]);
const INTEGERS = new Set([
  'gracePeriodSeconds',
  'limit',
  'limitBytes',
  'ports',
  'sinceSeconds',
  'tailLines',
  'timeoutSeconds',
]);
const DESCRIPTIONS: Readonly<Record<string, string>> = {
  dryRun: 'With the value All nothing is stored.',
  fieldManager: 'The name under which the changed fields are owned.',
  fieldValidation: 'What happens to unknown and duplicate fields: Ignore, Warn or Strict.',
  force: 'Take over fields that other managers own.',
};

/** The shared list's names end in 8 characters that tell parameters of one name apart. */
const SHARED = /^#\/parameters\/(.+)-(.{8})$/;
/** Parameters called `path` that are part of the path itself. */
const IN_PATH = new Set(['name', 'namespace', 'logpath']);

/** Reads an entry of paths.json for an operation on `path`. */
export function parameterOf(entry: string, path: string, patch: boolean): Parameter {
  const shared = SHARED.exec(entry);
  const name = shared?.[1] ?? entry;
  const reference = shared === null ? undefined : entry.slice('#/parameters/'.length);
  if (name === 'body') return { name, in: 'body', type: 'body', required: patch || shared === null, shared: reference };
  const inPath = IN_PATH.has(name) || (name === 'path' && path.endsWith('/{path}') && entry.endsWith('path-z6Ciiujn'));
  const description = DESCRIPTIONS[name];
  return {
    name,
    in: inPath ? 'path' : 'query',
    type: BOOLEANS.has(name) ? 'boolean' : INTEGERS.has(name) ? 'integer' : 'string',
    required: inPath,
    shared: reference,
    ...(description === undefined ? {} : { description }),
  };
}
