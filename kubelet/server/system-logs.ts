/** The files below /var/log by HTTP, as `kubectl get --raw /api/v1/nodes/NODE/proxy/logs/` asks for them. */
import { createReadStream, type Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Exec } from '../../base/exec.ts';
import { HttpError, sendText } from './http.ts';
import { checkLogQuery, parseLogQuery, queriedFile, sendServiceLogs } from './log-query.ts';

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };
const escape = (text: string) => text.replace(/[&<>"']/g, (c) => ESCAPES[c]!);

/** Sends a file, or a folder as a page of links, or what is queried; `path` are decoded parts below `root`. */
export async function sendSystemLog(
  res: ServerResponse,
  root: string,
  path: readonly string[],
  query: URLSearchParams | undefined,
  exec: Exec,
): Promise<void> {
  const asked = query && parseLogQuery(query);
  if (asked) {
    if (path.length > 0) throw new HttpError(406, 'path not allowed in query mode');
    checkLogQuery(asked);
    if (asked.services.length > 0) return sendServiceLogs(res, root, asked, exec);
    return sendSystemLog(res, root, await queriedFile(root, asked.files[0]!), undefined, exec);
  }
  if (path.some((part) => part === '..' || part.includes('/') || part.includes('\0')))
    throw new HttpError(400, 'invalid URL path');
  const file = join(root, ...path);
  const found = await stat(file).catch(() => undefined);
  if (found?.isDirectory()) return sendText(res, 200, await page(file), 'text/html; charset=utf-8');
  if (!found?.isFile()) throw new HttpError(404, '404 page not found');
  await sendFile(res, file, found);
}

async function page(dir: string): Promise<string> {
  const entries = await readdir(dir, { withFileTypes: true });
  const links = entries
    .map((e) => (e.isDirectory() ? `${e.name}/` : e.name))
    .sort()
    .map((name) => `<a href="${escape(encodeURI(name))}">${escape(name)}</a>\n`);
  return `<!doctype html>\n<pre>\n${links.join('')}</pre>\n`;
}

/** As much as there was when it was asked for: a log may grow meanwhile. */
async function sendFile(res: ServerResponse, file: string, { size, mtime }: Stats): Promise<void> {
  res.writeHead(200, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': size,
    'Last-Modified': mtime.toUTCString(),
  });
  if (size === 0) return void res.end();
  await pipeline(createReadStream(file, { end: size - 1 }), res);
}
