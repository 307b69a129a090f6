/** Whether two servers said the same, leaving aside what differs from one run to the next. */
import { decodeYaml } from '../../../api/codec/yaml.ts';
import type { Answer } from './client.ts';

type Json = null | boolean | number | string | Json[] | { [k: string]: Json };

const TIME = /^20(2[4-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
/** Addresses and ports that the server chooses. */
const ADDRESS = /^10\.96\.\d+\.\d+$/;

function plain(value: Json, key: string, sent: string): Json {
  if (Array.isArray(value)) {
    const list = value.map((v) => plain(v, key, sent));
    if (key === 'managedFields' || key === 'causes')
      return list.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    return list;
  }
  if (typeof value === 'object' && value !== null) {
    const out: { [k: string]: Json } = {};
    for (const k of Object.keys(value).sort()) {
      if ((k === 'resourceVersion' || k === 'continue') && typeof value[k] === 'string') continue;
      // what columns are about is told in words of one's own
      if (k === 'description') continue;
      out[k] = plain(value[k]!, k, sent);
    }
    return out;
  }
  if (typeof value === 'string') {
    if (TIME.test(value)) return '<time>';
    if (ADDRESS.test(value) && !sent.includes(value)) return '<ip>';
    if (key === 'message') return '';
    return value
      .replace(UUID, '<uuid>')
      .replace(/X509SHA256=\w+/, '<hash>')
      .replace(/^kube-api-access-\w{5}$/, 'kube-api-access-<random>');
  }
  if (typeof value === 'number' && /nodePort$/i.test(key) && !sent.includes(String(value))) return '<port>';
  return value;
}

function status(body: { [k: string]: Json }): Json {
  const { status: s, reason, code, details } = body;
  const d = (details ?? {}) as { [k: string]: Json };
  const causes = ((d['causes'] ?? []) as { reason?: string; field?: string }[]).map(
    (c) => `${c.reason ?? ''} ${c.field ?? ''}`,
  );
  const { name, group, kind, retryAfterSeconds } = d;
  return { status: s, reason, code, name, group, kind, retryAfterSeconds, causes: [...new Set(causes)].sort() } as Json;
}

/** A watch's lines, a YAML document, or the text itself. */
function parsed(text: string): Json {
  try {
    return text
      .split('\n')
      .filter((l) => l !== '')
      .map((l) => JSON.parse(l) as Json);
  } catch {
    // no JSON
  }
  try {
    return decodeYaml(text).value as Json;
  } catch {
    return text;
  }
}

/** Lines that say what differs (want is the peer's); empty when nothing does. */
export function differences(want: Answer, got: Answer, sent: unknown): string[] {
  const text = JSON.stringify(sent ?? '');
  const out: string[] = [];
  if (want.code !== got.code) out.push(`code: want ${want.code}, got ${got.code}`);
  const form = (a: Answer): Json => {
    const body = a.body as { [k: string]: Json } | string;
    if (typeof body === 'string') return plain(parsed(body), '', text);
    return body['kind'] === 'Status' ? status(body) : plain(body, '', text);
  };
  if (want.code === got.code && want.warnings.length !== got.warnings.length)
    out.push(`warnings: want ${want.warnings.length}, got ${got.warnings.length}`);
  if (want.code === got.code || (want.code >= 400 && got.code >= 400)) walk(form(want), form(got), '', out);
  else out.push(`want ${short(form(want))}`, `got ${short(form(got))}`);
  return out;
}

const short = (v: Json | undefined) => {
  if (v === undefined) return '(absent)';
  const causes = (v as { causes?: Json } | null)?.causes;
  const text = causes ? JSON.stringify(causes) : JSON.stringify(v);
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
};

function walk(want: Json | undefined, got: Json | undefined, path: string, out: string[]): void {
  if (out.length > 8 || JSON.stringify(want) === JSON.stringify(got)) return;
  const isObject = (v: unknown): v is { [k: string]: Json } => typeof v === 'object' && v !== null && !Array.isArray(v);
  if (isObject(want) && isObject(got)) {
    for (const k of new Set([...Object.keys(want), ...Object.keys(got)])) walk(want[k], got[k], `${path}.${k}`, out);
  } else if (Array.isArray(want) && Array.isArray(got) && path === '.causes') {
    const without = (a: Json[], b: Json[]) => short(a.filter((c) => !b.includes(c)));
    out.push(`causes: lacks ${without(want, got)}, has ${without(got, want)}`);
  } else if (Array.isArray(want) && Array.isArray(got) && want.length === got.length) {
    for (const [i, w] of want.entries()) walk(w, got[i], `${path}[${i}]`, out);
  } else out.push(`${path}: want ${short(want)}, got ${short(got)}`);
}
