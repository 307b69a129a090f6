/** Validation of a kind put together: metadata, its own rules, and what may not change. */
import type { DeepReadonly, KubeObject } from '../../api/types.ts';
import type { Strategy, StrategyContext } from '../registry/definition.ts';
import { Field, type Format } from './validation/field.ts';
import type { FieldError } from '../../api/field-errors.ts';
import { objectMeta, objectMetaUpdate } from './validation/meta.ts';
import { dns1123Subdomain } from './validation/names.ts';

export interface Rules<T extends KubeObject> {
  scope: 'Namespaced' | 'Cluster';
  /** The form of names; a DNS subdomain unless said otherwise. */
  name?: Format;
  /** Any finalizer is taken, also one without a domain. */
  anyFinalizer?: boolean;
  /** generateName (and, on update, the form of finalizers) isn't looked at: always, or on update. */
  anyGenerateName?: boolean | 'update';
  /** The kind has no rules of its own for metadata: a new object's is looked at when all else is fine. */
  metadataLast?: boolean;
  /** Holds on create and on update. */
  always?: (f: Field<T>, ctx: StrategyContext, old: DeepReadonly<T> | undefined) => void;
  /** Holds on create only. */
  create?: (f: Field<T>, ctx: StrategyContext) => void;
  /** Holds on update only. */
  update?: (f: Field<T>, old: DeepReadonly<T>, ctx: StrategyContext) => void;
}

/** The two validation hooks of a strategy. */
export function rules<T extends KubeObject>(r: Rules<T>): Pick<Strategy<T>, 'validate' | 'validateUpdate'> {
  const name = r.name ?? dns1123Subdomain;
  const namespaced = r.scope === 'Namespaced';
  return {
    validate(object, ctx) {
      const errors: FieldError[] = [];
      const f = new Field<T>(object, errors);
      const metadata = () =>
        objectMeta(f as Field<KubeObject>, { namespaced }, name, { ...r, anyGenerateName: r.anyGenerateName === true });
      if (!r.metadataLast) metadata();
      r.always?.(f, ctx, undefined);
      r.create?.(f, ctx);
      if (r.metadataLast && errors.length === 0) metadata();
      return errors;
    },
    validateUpdate(object, old, ctx) {
      const errors: FieldError[] = [];
      const f = new Field<T>(object, errors);
      objectMetaUpdate(f as Field<KubeObject>, old, { ...r, name, anyGenerateName: !!r.anyGenerateName });
      r.always?.(f, ctx, old);
      r.update?.(f, old, ctx);
      return errors;
    },
  };
}

/** The update hook of a status endpoint. */
export function statusRules<T extends KubeObject>(
  rule?: (f: Field<T>, old: DeepReadonly<T>, ctx: StrategyContext) => void,
  options: { anyFinalizer?: boolean } = {},
): Pick<Strategy<T>, 'validateUpdate'> {
  return {
    validateUpdate(object, old, ctx) {
      const errors: FieldError[] = [];
      const f = new Field<T>(object, errors);
      objectMetaUpdate(f as Field<KubeObject>, old, options);
      rule?.(f, old, ctx);
      return errors;
    },
  };
}
