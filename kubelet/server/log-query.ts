/** The logs of a node's services and files by a query: `/logs/?query=NAME&...` (KEP-2258, enableSystemLogQuery). */
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { compileRe2 } from '../../api/re2.ts';
import { formatSeconds, parseRfc3339 } from '../../api/time.ts';
import { CommandError, type Exec } from '../../base/exec.ts';
import { HttpError, writeSlowly } from './http.ts';

const MAX_SERVICES = 4;
const MAX_NAME = 256;
const MAX_LINES = 100_000;
/** Characters that are safe in an argument of journalctl. */
const NAME = /^[a-zA-Z\-_.:0-9@]*$/;

export interface LogQuery {
  services: string[];
  /** Names with a slash: files below /var/log. */
  files: string[];
  /** RFC 3339. */
  sinceTime?: string;
  untilTime?: string;
  /** 0 is this boot, -1 the one before. */
  boot?: number;
  tailLines?: number;
  pattern?: string;
}

const invalid = (field: string, value: unknown, detail: string) =>
  `${field}: Invalid value: ${JSON.stringify(value)}: ${detail}`;
function refuse(status: number, errors: readonly string[]): void {
  if (errors.length > 0) throw new HttpError(status, errors.length === 1 ? errors[0]! : `[${errors.join(', ')}]`);
}

/** Undefined when nothing is queried; throws HttpError 400 for values that can't be read. */
export function parseLogQuery(query: URLSearchParams): LogQuery | undefined {
  const errors: string[] = [];
  const out: LogQuery = { services: [], files: [] };
  const asked = query.getAll('query');
  for (const q of asked)
    if (/[/\\]/.test(q)) out.files.push(q);
    else if (q.trim() !== '') out.services.push(q);
  if (asked.length > 0 && out.files.length + out.services.length === 0)
    errors.push(invalid('query', asked, 'may not be empty'));
  for (const name of ['sinceTime', 'untilTime'] as const) {
    const text = query.get(name);
    if (!text) continue;
    if (parseRfc3339(text)) out[name] = text;
    else errors.push(invalid(name, text, 'invalid time format'));
  }
  for (const name of ['boot', 'tailLines'] as const) {
    const text = query.get(name);
    if (!text) continue;
    if (/^[+-]?\d{1,18}$/.test(text)) out[name] = Number(text);
    else errors.push(invalid(name, text, `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`));
  }
  const pattern = query.get('pattern');
  if (pattern) out.pattern = pattern;
  refuse(400, errors);
  const { services, files, ...options } = out;
  return services.length + files.length + Object.keys(options).length > 0 ? out : undefined;
}

/** Throws HttpError 406 for what can't be asked together, or at all. */
export function checkLogQuery(query: LogQuery): void {
  const { services, files, ...options } = query;
  const errors: string[] = [];
  for (const s of services)
    if (s.length > MAX_NAME) errors.push(invalid('query', s, `length must be less than ${MAX_NAME}`));
    else if (!NAME.test(s)) errors.push(invalid('query', s, 'input contains unsupported characters'));
  if (services.length > MAX_SERVICES)
    errors.push(`query: Too many: ${services.length}: must have at most ${MAX_SERVICES} items`);
  if (files.length + services.length === 0) errors.push('query: Required value: cannot be empty with options');
  else if (files.length > 0 && services.length > 0)
    errors.push(invalid('query', `[${files.join(' ')}], [${services.join(' ')}]`, 'cannot specify a file and service'));
  else if (files.length > 1) errors.push(invalid('query', files, 'cannot specify more than one file'));
  else if (files.length === 1 && Object.keys(options).length > 0)
    errors.push(invalid('query', files, 'cannot specify file with options'));
  const [since, until] = [query.sinceTime, query.untilTime].map((t) => (t ? parseRfc3339(t) : undefined));
  if (since && until && (since.seconds - until.seconds || since.nanos - until.nanos) > 0)
    errors.push(invalid('untilTime', query.untilTime, 'must be after `sinceTime`'));
  if (query.boot !== undefined && query.boot > 0) errors.push(invalid('boot', query.boot, 'must be less than 1'));
  if (query.tailLines !== undefined && (query.tailLines < 0 || query.tailLines > MAX_LINES))
    errors.push(invalid('tailLines', query.tailLines, `must be between 0 and ${MAX_LINES}, inclusive`));
  if (query.pattern !== undefined)
    try {
      compileRe2(query.pattern);
    } catch (error) {
      errors.push(invalid('pattern', query.pattern, (error as Error).message));
    }
  refuse(406, errors);
}

/** What journalctl is told. */
export function journalArgs(query: LogQuery, services: readonly string[]): string[] {
  const time = (text: string) => `${formatSeconds(parseRfc3339(text)!.seconds).replace('T', ' ').replace('Z', '')} UTC`;
  const args = ['--utc', '--no-pager', '--output=short-precise'];
  if (query.sinceTime) args.push(`--since=${time(query.sinceTime)}`);
  if (query.untilTime) args.push(`--until=${time(query.untilTime)}`);
  if (query.tailLines !== undefined) args.push('--pager-end', `--lines=${query.tailLines}`);
  args.push(...services.map((s) => `--unit=${s}`));
  if (query.pattern) args.push(`--grep=${query.pattern}`);
  if (query.boot !== undefined) args.push('--boot', `${query.boot}`);
  return args;
}

/** Where a path below `root` is; undefined when it isn't there, or lies elsewhere. */
async function below(root: string, path: string): Promise<string | undefined> {
  const file = await realpath(join(root, path)).catch(() => '');
  return file.startsWith(`${await realpath(root)}/`) ? file : undefined;
}

/** The parts of the path of a file that is asked for; throws HttpError 406 when it isn't there. */
export async function queriedFile(root: string, name: string): Promise<string[]> {
  const parts = name.split(/[/\\]/).filter((p) => p !== '');
  if (parts.includes('..') || !(await below(root, parts.join('/'))))
    throw new HttpError(406, invalid('query', [name], 'no such file or directory'));
  return parts;
}

/** The file of a service's log; undefined when there is none. */
async function fileOf(root: string, service: string): Promise<string | undefined> {
  for (const name of [service, `${service}.log`, join(service, `${service}.log`)]) {
    const file = await below(root, name);
    if (file && (await stat(file)).isFile()) return file;
  }
  return undefined;
}

/** Sends what the journal has of the services, then the files of those that don't write to it. */
export async function sendServiceLogs(res: ServerResponse, root: string, query: LogQuery, exec: Exec): Promise<void> {
  const units = await exec('journalctl', ['--field', '_SYSTEMD_UNIT']).catch(() => '');
  const known = new Set(units.split('\n'));
  const native = query.services.filter((s) => known.has(`${s}.service`));
  const filed = query.services.filter((s) => !native.includes(s));
  res.writeHead(200, { 'Content-Type': 'text/plain;charset=UTF-8' });
  if (native.length > 0) {
    const text = await exec('journalctl', journalArgs(query, native)).catch((error: unknown) =>
      // what it says is the answer, also when it finds nothing or has to stop
      error instanceof CommandError ? error.stdout + error.stderr : '\nerror: the journal is not available\n',
    );
    if (!(await writeSlowly(res, text))) return;
  }
  const { services: _s, files: _f, ...options } = query;
  if (filed.length > 0 && Object.keys(options).length > 0) {
    res.end(
      `\noptions present and query resolved to log files for [${filed.join(' ')}]\ntry without specifying options\n`,
    );
    return;
  }
  for (const service of filed) {
    const file = await fileOf(root, service);
    if (file) await pipeline(createReadStream(file), res, { end: false });
    else if (!(await writeSlowly(res, `\nlog not found for ${service}\n`))) return;
  }
  res.end();
}
