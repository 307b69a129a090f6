/** ConfigMaps, Secrets and ServiceAccounts. */
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { semanticEqual } from '../../../api/meta.ts';
import type { ConfigMap, DeepReadonly, Secret, ServiceAccount } from '../../../api/types.ts';
import { define, special } from '../define.ts';
import { rules } from '../rules.ts';
import { age, nameOf } from '../table.ts';
import type { Field } from '../validation/field.ts';
import { configMapKey } from '../validation/formats.ts';

const MAX_SIZE = 1024 * 1024;
type Data = Record<string, string>;
const count = (data: Readonly<Record<string, unknown>> | undefined) => Object.keys(data ?? {}).length;
/** The number of bytes a base64 text stands for. */
const decodedLength = (text: string | null) =>
  text ? Math.floor((text.length * 3) / 4) - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0) : 0;

/** Keys that could be file names. */
function keys(f: Field<Data>): void {
  f.eachKey((v, k) => {
    for (const m of configMapKey(k)) v.invalid(m, k);
  });
}

interface Sealable {
  immutable?: boolean;
}
/** What was marked immutable stays so, mark included. */
function sealed<T extends Sealable>(f: Field<T>, old: DeepReadonly<T>, parts: readonly (keyof T & string)[]): void {
  if (!(old as Sealable).immutable) return;
  const why = 'field is immutable when `immutable` is set';
  if (!(f.value as Sealable).immutable) f.get('immutable' as keyof T & string).forbidden(why);
  for (const p of parts) if (!semanticEqual(f.value?.[p], (old as T)[p])) f.get(p).forbidden(why);
}

export const configMaps = define<ConfigMap>('', 'configmaps', 'ConfigMap', 'Namespaced', {
  strategy: rules<ConfigMap>({
    scope: 'Namespaced',
    always(f) {
      keys(f.get('data') as Field<Data>);
      keys(f.get('binaryData') as Field<Data>);
      let size = 0;
      for (const [k, v] of Object.entries(f.value?.data ?? {})) {
        if (f.value?.binaryData && k in f.value.binaryData)
          f.get('data').key(k, k).invalid('duplicate of key present in binaryData');
        size += Buffer.byteLength(v);
      }
      for (const v of Object.values(f.value?.binaryData ?? {})) size += decodedLength(v);
      if (size > MAX_SIZE)
        f.add({ type: 'FieldValueTooLong', field: '', message: `Too long: may not be more than ${MAX_SIZE} bytes` });
    },
    update: (f, old) => sealed(f, old, ['data', 'binaryData']),
  }),
  table: { cells: (c, now) => [nameOf(c), count(c.data) + count(c.binaryData), age(c, now)] },
});

const isJsonObject = (base64: string) => {
  try {
    const v: unknown = JSON.parse(Buffer.from(base64, 'base64').toString());
    return v === null || (typeof v === 'object' && !Array.isArray(v));
  } catch {
    return false;
  }
};

/** What each type of secret must hold. */
const TYPES: Record<string, (f: Field<Secret>, data: Field<Data>) => void> = {
  'kubernetes.io/service-account-token'(f) {
    const key = 'kubernetes.io/service-account.name';
    if (!f.value?.metadata?.annotations?.[key]) f.get('metadata').named('annotations').key(key, '').missing();
  },
  'kubernetes.io/dockercfg': (_f, data) => dockerConfig(data, '.dockercfg'),
  'kubernetes.io/dockerconfigjson': (_f, data) => dockerConfig(data, '.dockerconfigjson'),
  'kubernetes.io/basic-auth'(_f, data) {
    if (data.value?.['username'] !== undefined || data.value?.['password'] !== undefined) return;
    data.key('username', '').missing();
    data.key('password', '').missing();
  },
  'kubernetes.io/ssh-auth'(_f, data) {
    if (!data.value?.['ssh-privatekey']) data.key('ssh-privatekey', '').missing();
  },
  'kubernetes.io/tls'(_f, data) {
    for (const k of ['tls.crt', 'tls.key']) if (data.value?.[k] === undefined) data.key(k, '').missing();
  },
};

function dockerConfig(data: Field<Data>, key: string): void {
  const text = data.value?.[key];
  if (text === undefined) data.key(key, '').missing();
  else if (!isJsonObject(text)) data.key(key, '').invalid('must be a JSON object', '<secret contents redacted>');
}

/** Whether a certificate and a key belong together, as a warning. */
function pairWarnings(data: Readonly<Record<string, string>> | undefined): string[] {
  try {
    const text = (k: string) => Buffer.from(data?.[k] ?? '', 'base64');
    const certificate = new X509Certificate(text('tls.crt'));
    const key = createPublicKey(createPrivateKey(text('tls.key')));
    return certificate.publicKey.equals(key) ? [] : ['tls: private key does not match public key'];
  } catch {
    return ['tls: failed to find any PEM data in certificate or key input'];
  }
}

export const secrets = define<Secret>('', 'secrets', 'Secret', 'Namespaced', {
  strategy: {
    defaults(s) {
      s.type ||= 'Opaque';
      if (!s.stringData) return;
      // stringData is only for writing.
      const data = (s.data ??= {});
      for (const [k, v] of Object.entries(s.stringData)) data[k] = Buffer.from(v).toString('base64');
      delete s.stringData;
    },
    ...rules<Secret>({
      scope: 'Namespaced',
      always(f) {
        const data = f.get('data') as Field<Data>;
        keys(data);
        const size = Object.values(data.value ?? {}).reduce((n, v) => n + decodedLength(v), 0);
        if (size > MAX_SIZE) data.tooLong(MAX_SIZE);
        TYPES[f.value?.type ?? '']?.(f, data);
      },
      update(f, old) {
        f.get('type').immutable(old.type);
        sealed(f, old, ['data']);
      },
    }),
    warnings: (s) => (s.type === 'kubernetes.io/tls' ? pairWarnings(s.data) : []),
  },
  selectableFields: (s) => ({ type: s.type ?? '' }),
  table: { cells: (s, now) => [nameOf(s), s.type ?? '', count(s.data), age(s, now)] },
});

const ENFORCE_MOUNTABLE = 'kubernetes.io/enforce-mountable-secrets';

/** References to secrets are names; the rest of an object reference means nothing here. */
function namesOnly(s: ServiceAccount): void {
  if (s.secrets) s.secrets = s.secrets.map(({ name }) => (name === undefined ? {} : { name }));
}

export const serviceAccounts = define<ServiceAccount>('', 'serviceaccounts', 'ServiceAccount', 'Namespaced', {
  returnDeletedObject: true,
  strategy: {
    prepareForCreate: namesOnly,
    prepareForUpdate: namesOnly,
    ...rules<ServiceAccount>({ scope: 'Namespaced' }),
    warnings(s, old) {
      const on = (o: DeepReadonly<ServiceAccount> | ServiceAccount | undefined) =>
        o?.metadata?.annotations?.[ENFORCE_MOUNTABLE] === 'true';
      return on(s) && !on(old)
        ? [
            `metadata.annotations[${ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`,
          ]
        : [];
    },
  },
  subresources: { token: special('create') },
  table: { cells: (s, now) => [nameOf(s), age(s, now)] },
});
