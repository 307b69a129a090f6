/** Policies from namespace labels, and pods judged by them. */
import { Path, invalid, type FieldError } from '../../../api/field-errors.ts';
import type { DeepReadonly, ObjectMeta, PodSpec } from '../../../api/types.ts';
import { baselineChecks } from './baseline.ts';
import type { CheckPod, Level, Violation } from './check.ts';
import { restrictedChecks } from './restricted.ts';

/** A level at a version; `minor` is Infinity for latest. */
export interface LevelVersion {
  readonly level: Level;
  readonly minor: number;
}
export interface Policy {
  readonly enforce: LevelVersion;
  readonly audit: LevelVersion;
  readonly warn: LevelVersion;
}

const LEVELS: readonly Level[] = ['privileged', 'baseline', 'restricted'];
const PREFIX = 'pod-security.kubernetes.io/';
const MAX_MINOR = 36;
const PRIVILEGED: LevelVersion = { level: 'privileged', minor: Infinity };

export const showPolicy = (l: LevelVersion) => `${l.level}:${l.minor === Infinity ? 'latest' : `v1.${l.minor}`}`;
export const samePolicy = (a: LevelVersion, b: LevelVersion) => a.level === b.level && a.minor === b.minor;
/** Negative when `a` is laxer than `b`. */
export const compareLevels = (a: Level, b: Level) => LEVELS.indexOf(a) - LEVELS.indexOf(b);

/** The minor version; undefined when the text names none. */
function minorOf(text: string): number | undefined {
  if (text === 'latest') return Infinity;
  const m = /^v1\.([0-9]|[1-9][0-9]*)$/.exec(text);
  return m ? Number(m[1]) : undefined;
}
/** A default, checked when the configuration was read. */
function levelOf(level: string | undefined, version: string | undefined): LevelVersion {
  if (!level && !version) return PRIVILEGED;
  const known = LEVELS.find((l) => l === level) ?? 'privileged';
  return { level: known, minor: minorOf(version || 'latest') ?? Infinity };
}

/**
 * Reads the labels; `defaults` has the values of those that are missing, named without their prefix. Wrong ones fail
 * open for audit and warn, and fail closed for enforce.
 */
export function policyOf(
  labels: Readonly<Record<string, string>> | undefined,
  defaults: Readonly<Partial<Record<string, string>>> = {},
): {
  policy: Policy;
  errors: FieldError[];
} {
  const errors: FieldError[] = [];
  const bad = (key: string, value: string, why: string) =>
    errors.push(invalid(Path.root('metadata', 'labels').key(key), value, why));
  const read = (mode: string, fallback: Level): { set: boolean; versionSet: boolean; value: LevelVersion } => {
    let { level, minor } = levelOf(defaults[mode], defaults[`${mode}-version`]);
    const levelText = labels?.[PREFIX + mode];
    const versionText = labels?.[`${PREFIX}${mode}-version`];
    if (levelText !== undefined) {
      const known = LEVELS.find((l) => l === levelText);
      if (known) level = known;
      else {
        level = fallback;
        bad(PREFIX + mode, levelText, `must be one of ${LEVELS.join(', ')}`);
      }
    }
    if (versionText !== undefined) {
      const known = minorOf(versionText);
      minor = known ?? Infinity;
      if (known === undefined) bad(`${PREFIX}${mode}-version`, versionText, 'must be "latest" or "v1.x"');
    }
    return { set: levelText !== undefined, versionSet: versionText !== undefined, value: { level, minor } };
  };
  if (!labels) {
    const at = (mode: string) => levelOf(defaults[mode], defaults[`${mode}-version`]);
    return { policy: { enforce: at('enforce'), audit: at('audit'), warn: at('warn') }, errors };
  }
  const enforce = read('enforce', 'restricted');
  const enforceKnown = enforce.set && errors.every((e) => !e.field.endsWith(`[${PREFIX}enforce]`));
  const audit = read('audit', 'privileged');
  let warn = read('warn', 'privileged');
  if (!warn.set && enforceKnown && compareLevels(enforce.value.level, warn.value.level) > 0) {
    warn = {
      ...warn,
      value: { level: enforce.value.level, minor: warn.versionSet ? warn.value.minor : enforce.value.minor },
    };
  }
  return { policy: { enforce: enforce.value, audit: audit.value, warn: warn.value }, errors };
}

/** The rules in force for each level and minor version, made once. */
const rules = new Map<string, readonly CheckPod[]>();
function rulesFor({ level, minor }: LevelVersion): readonly CheckPod[] {
  if (level === 'privileged') return [];
  const at = Math.min(minor, MAX_MINOR);
  const key = `${level}/${at}`;
  const known = rules.get(key);
  if (known) return known;
  const inForce = (checks: typeof baselineChecks) =>
    checks.flatMap((c) => {
      const v = c.versions.findLast((x) => x.from <= at);
      return v ? [{ id: c.id, ...v }] : [];
    });
  const strict = level === 'restricted' ? inForce(restrictedChecks) : [];
  const overridden = new Set(strict.flatMap((c) => c.overrides ?? []));
  const made = [...inForce(baselineChecks).filter((c) => !overridden.has(c.id)), ...strict].map((c) => c.check);
  rules.set(key, made);
  return made;
}

/** What of a pod breaks a level of the standard, in the order of the checks' ids. */
export function evaluatePod(
  at: LevelVersion,
  spec: DeepReadonly<PodSpec>,
  meta: DeepReadonly<ObjectMeta>,
): Violation[] {
  const out: Violation[] = [];
  for (const check of rulesFor(at)) {
    const v = check(spec, meta);
    if (v) out.push(v);
  }
  return out;
}

export const describe = (violations: readonly Violation[]) =>
  violations.map((v) => (v.detail === '' ? v.reason : `${v.reason} (${v.detail})`)).join(', ');
