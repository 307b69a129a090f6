/**
 * Who may use an image that is here: what was pulled with somebody's credentials is not for everybody on the node.
 * https://kubernetes.io/docs/concepts/containers/images/#ensureimagepullcredentialverification (KEP-2535)
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AuthConfig } from '../cri/types.ts';
import { parseImage } from './names.ts';

export type VerificationPolicy =
  | 'NeverVerify'
  | 'NeverVerifyPreloadedImages'
  | 'NeverVerifyAllowlistedImages'
  | 'AlwaysVerify';

interface Access {
  /** Pulled without credentials: any pod may. */
  everybody: boolean;
  /** Hashes of the credentials that worked. */
  credentials: string[];
}
/** By image name without tag and digest: the same layers may lie in several repositories. */
type Accesses = Record<string, Access>;

export interface PulledImages {
  /** Whether a pod with these credentials may use the image without asking its registry. */
  allowed(id: string, name: string, auths: readonly AuthConfig[]): boolean;
  /** The image was pulled, with these credentials or without any. */
  pulled(id: string, name: string, auth: AuthConfig | undefined): void;
  /** A pull begins: were it to end without us, the image would look as if it had always been here. */
  pulling(name: string): void;
  /** It has failed. */
  failed(name: string): void;
  forget(id: string): void;
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
const hashOf = (a: AuthConfig): string =>
  digest(JSON.stringify([a.username, a.password, a.auth, a.identity_token, a.registry_token]));

export function createPulledImages(options: {
  /** ROOT/pulled-images */
  dir: string;
  policy: VerificationPolicy;
  /** Images of NeverVerifyAllowlistedImages; `*` at the end of a path stands for all below. */
  allowlist: readonly string[];
}): PulledImages {
  const { policy } = options;
  const folder = (kind: 'pulled' | 'pulling') => join(options.dir, kind);
  const fileOf = (kind: 'pulled' | 'pulling', key: string) => join(folder(kind), `${digest(key)}.json`);
  const repository = (name: string): string => {
    const ref = parseImage(name);
    return ref ? `${ref.domain}/${ref.path}` : name;
  };
  const read = <T>(kind: 'pulled' | 'pulling', key: string): T | undefined => {
    try {
      return JSON.parse(readFileSync(fileOf(kind, key), 'utf8')) as T;
    } catch {
      return undefined;
    }
  };
  const write = (kind: 'pulled' | 'pulling', key: string, value: object) => {
    mkdirSync(folder(kind), { recursive: true, mode: 0o700 });
    const file = fileOf(kind, key);
    writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  const listed = (name: string): boolean =>
    options.allowlist.some((p) =>
      p.endsWith('/*') ? repository(name).startsWith(p.slice(0, -1)) : p === repository(name),
    );

  return {
    allowed(id, name, auths) {
      if (policy === 'NeverVerify') return true;
      const record = read<Accesses>('pulled', id);
      // neither here before us nor brought by us to the end
      const begun = read('pulling', repository(name)) !== undefined;
      if (!record && !begun) {
        if (policy === 'NeverVerifyPreloadedImages') return true;
        if (policy === 'NeverVerifyAllowlistedImages' && listed(name)) return true;
      }
      const access = record?.[repository(name)];
      return access !== undefined && (access.everybody || auths.some((a) => access.credentials.includes(hashOf(a))));
    },
    pulled(id, name, auth) {
      const record = read<Accesses>('pulled', id) ?? {};
      const access = record[repository(name)] ?? { everybody: false, credentials: [] };
      if (auth) access.credentials = [...new Set([...access.credentials, hashOf(auth)])].slice(-100);
      else access.everybody = true;
      write('pulled', id, { ...record, [repository(name)]: access });
      rmSync(fileOf('pulling', repository(name)), { force: true });
    },
    pulling: (name) => write('pulling', repository(name), { image: name }),
    failed: (name) => rmSync(fileOf('pulling', repository(name)), { force: true }),
    forget: (id) => rmSync(fileOf('pulled', id), { force: true }),
  };
}
