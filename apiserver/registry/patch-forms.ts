/** The patch languages by media type. */
import { applyJsonPatch } from '../../api/patch/json-patch.ts';
import { applyMergePatch } from '../../api/patch/merge-patch.ts';
import { applyStrategicMergePatch } from '../../api/patch/strategic.ts';
import type { ObjectType } from '../../api/schema/model.ts';
import { unsupportedMediaType } from '../../api/status.ts';
import type { JsonObject, JsonValue } from '../../api/types.ts';

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';

export const PATCH_MEDIA: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

/** Applies a patch that isn't an apply; the result may share parts with both. */
export function applyPatch(
  kind: Exclude<PatchKind, 'apply'>,
  base: JsonObject,
  patch: JsonValue,
  type: ObjectType | undefined,
): JsonValue {
  switch (kind) {
    case 'json':
      return applyJsonPatch(base, patch);
    case 'merge':
      return applyMergePatch(base, patch);
    case 'strategic':
      if (!type?.native) throw unsupportedMediaType('strategic merge patches are for built-in kinds only');
      return applyStrategicMergePatch(base, patch, type);
  }
}
