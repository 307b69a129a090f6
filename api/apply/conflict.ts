/** Server-side apply wants fields that others own. */
import { StatusError } from '../status.ts';
import type { ManagerIdentity } from './managed.ts';
import { compareText, showPath } from './path-element.ts';

export interface Conflict {
  readonly owner: ManagerIdentity;
  /** Path elements. */
  readonly path: readonly string[];
}

/** Thrown inside the manager; leaves it as a Status. */
export class ConflictError extends Error {
  readonly conflicts: readonly Conflict[];
  constructor(conflicts: readonly Conflict[]) {
    super(`${conflicts.length} conflicts`);
    this.conflicts = conflicts;
  }
}

/** `"kubectl" with subresource "status" using v1`; kubectl reads such texts out to the user. */
function showOwner(owner: ManagerIdentity): string {
  let out = JSON.stringify(owner.manager);
  if (owner.subresource !== '') out += ` with subresource ${JSON.stringify(owner.subresource)}`;
  if (owner.operation === 'Update') out += ` using ${owner.apiVersion}`;
  return out;
}

/** The 409 with one cause of type FieldManagerConflict for each field. */
export function conflictStatus(conflicts: readonly Conflict[]): StatusError {
  const causes = conflicts.map((c) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${showOwner(c.owner)}`,
    field: showPath(c.path),
  }));
  return new StatusError(409, 'Conflict', conflictMessage(conflicts), { causes });
}

function conflictMessage(conflicts: readonly Conflict[]): string {
  if (conflicts.length === 1) {
    const [c] = conflicts;
    return `Apply failed with 1 conflict: conflict with ${showOwner(c!.owner)}: ${showPath(c!.path)}`;
  }
  const byOwner = new Map<string, string[]>();
  for (const c of conflicts) {
    const owner = showOwner(c.owner);
    byOwner.set(owner, [...(byOwner.get(owner) ?? []), `- ${showPath(c.path)}`]);
  }
  const lines = [...byOwner]
    .sort(([a], [b]) => compareText(a, b))
    .flatMap(([owner, fields]) => [`conflicts with ${owner}:`, ...fields]);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
}
