/** Modules that few processes need and that cost megabytes: loaded when they are first asked for, not with the program. */
import { createRequire } from 'node:module';

/**
 * Makes a function that loads a module (of ours, or a package) at its first call.
 * `from` is the caller's import.meta.url; `T` is `typeof import(...)` of the same path.
 */
export function lazyModule<T>(from: string, path: string): () => T {
  let loaded: T | undefined;
  return () => (loaded ??= createRequire(from)(path) as T);
}
