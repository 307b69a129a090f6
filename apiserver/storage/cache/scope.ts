/** What a Scope lets through. */
import type { Entry, ResourceCacheOptions, Scope } from '../cache.ts';

/** Whether an entry lies within a scope. */
export function inScope(scope: Scope, entry: Entry): boolean {
  if (scope.namespace !== undefined && entry.namespace !== scope.namespace) return false;
  if (scope.name !== undefined && entry.name !== scope.name) return false;
  if (scope.field && fieldOf(entry, scope.field.key) !== scope.field.value) return false;
  if (scope.label && entry.labels?.[scope.label.key] !== scope.label.value) return false;
  return true;
}

/** A selectable field's value; name and namespace need no parsing. */
export function fieldOf(entry: Entry, key: string): string | undefined {
  if (key === 'metadata.name') return entry.name;
  if (key === 'metadata.namespace') return entry.namespace;
  return entry.fields[key];
}

/** The one key a scope is about, when it names a single object. */
export function keyOf(options: ResourceCacheOptions, scope: Scope): string | undefined {
  if (scope.name === undefined) return undefined;
  if (!options.namespaced) return options.prefix + scope.name;
  return scope.namespace === undefined ? undefined : `${options.prefix}${scope.namespace}/${scope.name}`;
}

/** True when nothing is narrowed. */
export function isEverything(scope: Scope | undefined): boolean {
  return (
    !scope ||
    (scope.namespace === undefined &&
      scope.name === undefined &&
      scope.label === undefined &&
      scope.field === undefined)
  );
}
