/** POST, PUT and PATCH of stored resources. */
import { StatusError } from '../../api/status.ts';
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import { createObject } from '../registry/create.ts';
import { setDefaults } from '../registry/decode.ts';
import { managed, patchSource } from '../registry/patch.ts';
import { updateObject, type UpdateSource } from '../registry/update.ts';
import { fieldValidationOf, readObject } from './body.ts';
import { negotiate } from './negotiate.ts';
import type { Handler } from './resource-handler.ts';
import { resourceOffer, sendOutcome } from './respond.ts';
import {
  checkedKind,
  checkNames,
  invalidPatch,
  readPatch,
  showPatch,
  typedPatch,
  writeRequest,
} from './write-options.ts';

export const handleCreate: Handler = async (deps, request, reply, served) => {
  const view = negotiate(request, resourceOffer(served));
  const write = writeRequest(request, served, '', 'CreateOptions');
  const object = (await readObject(request, served, fieldValidationOf(request)))();
  setDefaults(served, object);
  const outcome = await createObject(deps.registry, write, object);
  await sendOutcome(deps, request, reply, served, view, outcome);
};

export const handleUpdate: Handler = async (deps, request, reply, served) => {
  const view = negotiate(request, resourceOffer(served));
  const { info } = request;
  const write = writeRequest(request, served, info.subresource, 'UpdateOptions');
  const decode = await readObject(request, served, fieldValidationOf(request));
  const prepare = () => {
    const object = decode();
    setDefaults(served, object);
    checkNames(request, served, object);
    return object;
  };
  let first: KubeObject | undefined = prepare();
  const source: UpdateSource = {
    createWhenAbsent: served.definition.allowCreateOnUpdate === true && info.subresource === '',
    requireVersion: served.definition.allowUnconditionalUpdate !== true,
    leavesLive: true,
    checkUid: true,
    attempts: first.metadata?.resourceVersion ? 1 : Number.MAX_SAFE_INTEGER,
    produce(live) {
      // After a conflict the object is read from the body again: the strategy has changed the first one.
      const mine = first ?? prepare();
      first = undefined;
      return managed(deps.registry, write, live as DeepReadonly<KubeObject> | undefined, mine);
    },
  };
  const outcome = await updateObject(deps.registry, write, source);
  await sendOutcome(deps, request, reply, served, view, outcome);
};

export const handlePatch: Handler = async (deps, request, reply, served) => {
  const view = negotiate(request, resourceOffer(served));
  const { info } = request;
  const write = writeRequest(request, served, info.subresource, 'PatchOptions');
  const { kind, patch, force, duplicates, complaints, notes } = await readPatch(request, served);
  const validation = fieldValidationOf(request);
  const shown = () => showPatch(kind, patch());
  if (validation === 'Strict' && notes.length > 0)
    throw invalidPatch(shown, `yaml: unmarshal errors:\n  ${notes.join('\n  ')}`);
  // What was applied fits the schema, or was refused before; only a text's inner form can still be wrong.
  const refuse = (why: string) =>
    kind === 'apply' && duplicates.length === 0
      ? new StatusError(500, '', `failed to convert new object to proper version: ${why}`)
      : invalidPatch(shown, why);
  const source = patchSource(deps.registry, write, {
    kind,
    patch,
    force,
    typed(value) {
      const warn = (text: string) => request.warn(text);
      const of = checkedKind(value, served, shown, kind);
      const scrutiny = { validation, duplicates, ofPatch: complaints?.(), warn };
      const object = typedPatch(of, served, scrutiny, refuse, kind);
      checkNames(request, served, object);
      return object;
    },
  });
  const outcome = await updateObject(deps.registry, write, source);
  await sendOutcome(deps, request, reply, served, view, outcome);
};
