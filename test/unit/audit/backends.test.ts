import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { encodeJson } from '../../../api/codec/json.ts';
import { createLogBackend } from '../../../apiserver/audit/log.ts';
import type { AuditBackend } from '../../../apiserver/audit/auditor.ts';
import type { AuditEvent } from '../../../apiserver/audit/event.ts';
import { readWebhookKubeconfig } from '../../../apiserver/authentication/remote.ts';
import { createWebhookBackend, type WebhookOptions } from '../../../apiserver/audit/webhook.ts';
import { systemClock } from '../../../base/clock.ts';
import { silentLogger } from '../../../base/log.ts';

const event = (id: string, more: Partial<AuditEvent> = {}): AuditEvent => ({
  level: 'Request',
  auditID: id,
  stage: 'ResponseComplete',
  requestURI: '/',
  verb: 'get',
  user: { username: 'ann' },
  requestReceivedTimestamp: '2026-01-01T00:00:00.000000Z',
  stageTimestamp: '2026-01-01T00:00:00.000000Z',
  ...more,
});
const give = (b: AuditBackend, e: AuditEvent): void => void b.take(e, encodeJson(e));
/** As give, told when it is done. */
const settled = async (b: AuditBackend, e: AuditEvent) => b.take(e, encodeJson(e));
const common = { clock: systemClock, logger: silentLogger };

describe('audit log', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'k8ts-audit-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  it('writes a line for each event, after those that are there', async () => {
    const path = join(dir, 'audit.log');
    writeFileSync(path, 'before\n');
    const log = await createLogBackend({ ...common, path });
    give(log, event('1'));
    give(log, event('2'));
    await log.close();
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    assert.equal(lines[0], 'before');
    const parsed = lines.slice(1).map((l) => JSON.parse(l) as Record<string, unknown>);
    assert.deepEqual(
      parsed.map((e) => [e['kind'], e['apiVersion'], e['auditID']]),
      [
        ['Event', 'audit.k8s.io/v1', '1'],
        ['Event', 'audit.k8s.io/v1', '2'],
      ],
    );
  });

  it('begins a new file when one is full, keeps so many old ones, packs them', async () => {
    const path = join(dir, 'audit.log');
    const old = join(dir, 'audit-2001-01-01T00-00-00.000.log');
    writeFileSync(old, '');
    const log = await createLogBackend({ ...common, path, maxBytes: 300, maxBackups: 2, compress: true });
    for (let i = 0; i < 5; i++) {
      give(log, event(`e${i}`));
      // Each event in a write of its own.
      await new Promise((resolve) => setImmediate(resolve));
      await readdirLater(dir);
    }
    await log.close();
    const names = readdirSync(dir).sort();
    assert.ok(!names.includes('audit-2001-01-01T00-00-00.000.log'));
    const packed = names.filter((n) => n.endsWith('.log.gz'));
    assert.ok(packed.length >= 1 && packed.length <= 2, names.join());
    assert.match(gunzipSync(readFileSync(join(dir, packed[0]!))).toString(), /"auditID":"e\d"/);
    assert.match(readFileSync(path, 'utf8'), /"auditID":"e4"/);
  });

  it('forgets files that are too old', async () => {
    const path = join(dir, 'audit.log');
    writeFileSync(join(dir, 'audit-2001-01-01T00-00-00.000.log'), '');
    writeFileSync(path, 'x'.repeat(400));
    const log = await createLogBackend({ ...common, path, maxBytes: 300, maxAgeDays: 3 });
    give(log, event('1'));
    await log.close();
    const names = readdirSync(dir);
    assert.equal(names.length, 2, names.join());
    assert.ok(!names.some((n) => n.includes('2001')));
  });

  it('cuts objects out of long events, and drops what is long without them', async () => {
    const path = join(dir, 'audit.log');
    const log = await createLogBackend({ ...common, path, maxEventBytes: 600 });
    give(log, event('1', { requestObject: 'x'.repeat(1000), annotations: { a: 'b' } }));
    give(log, event('2', { requestURI: 'x'.repeat(1000) }));
    await log.close();
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, 1);
    const e = JSON.parse(lines[0]!) as AuditEvent;
    assert.equal(e.requestObject, undefined);
    assert.deepEqual(e.annotations, { a: 'b', 'audit.k8s.io/truncated': 'true' });
  });

  it('tells whether an event was written, where that is asked for', async () => {
    const path = join(dir, 'sub', 'audit.log');
    mkdirSync(join(dir, 'sub'));
    const log = await createLogBackend({ ...common, path, strict: true, maxBytes: 1 });
    await settled(log, event('1'));
    assert.match(readFileSync(path, 'utf8'), /"auditID":"1"/);
    // the next event needs a new file
    rmSync(join(dir, 'sub'), { recursive: true });
    await assert.rejects(() => settled(log, event('2')));
    await log.close().catch(() => {});
  });

  it('writes to standard output', async () => {
    const out: string[] = [];
    const log = await createLogBackend({ ...common, path: '-', stdout: { write: (t) => out.push(t) } });
    give(log, event('1'));
    await log.close();
    assert.match(out.join(''), /^\{"kind":"Event".*\}\n$/);
  });
});

/** Gives the file system a turn. */
async function readdirLater(dir: string): Promise<void> {
  const { readdir } = await import('node:fs/promises');
  for (let i = 0; i < 20; i++) await readdir(dir);
}

describe('audit webhook', () => {
  let server: Server;
  let url: string;
  let batches: { items: AuditEvent[]; kind: string; apiVersion: string }[];
  let codes: number[];
  let arrived: (() => void) | undefined;
  beforeEach(async () => {
    batches = [];
    codes = [];
    server = createServer((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (c: Buffer) => chunks.push(c));
      req.on('end', () => {
        const code = codes.shift() ?? 200;
        if (code === 200) batches.push(JSON.parse(Buffer.concat(chunks).toString()) as (typeof batches)[0]);
        res.writeHead(code).end();
        arrived?.();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/audit`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });
  const open = (more: Partial<WebhookOptions> = {}) => createWebhookBackend({ ...common, target: { url }, ...more });
  const next = () => new Promise<void>((resolve) => (arrived = resolve));
  const ids = () => batches.map((b) => b.items.map((e) => e.auditID));

  it('sends each event for itself when it blocks, and tells of failures when it is strict', async () => {
    const blocking = open({ mode: 'blocking' });
    await Promise.all([settled(blocking, event('1')), settled(blocking, event('2'))]);
    assert.deepEqual(ids().flat().sort(), ['1', '2']);
    assert.equal(batches.length, 2);
    codes = [400, 400];
    await settled(blocking, event('3'));
    await blocking.close();
    const strict = open({ mode: 'blocking-strict' });
    await assert.rejects(() => settled(strict, event('4')));
    await settled(strict, event('5'));
    assert.deepEqual(ids().at(-1), ['5']);
    await strict.close();
  });

  it('sends full batches at once and the rest at the end', async () => {
    const hook = open({ batchSize: 2 });
    const first = next();
    for (const id of ['1', '2', '3']) give(hook, event(id));
    await first;
    assert.deepEqual(ids(), [['1', '2']]);
    await hook.close();
    assert.deepEqual(ids(), [['1', '2'], ['3']]);
    assert.deepEqual([batches[0]!.kind, batches[0]!.apiVersion], ['EventList', 'audit.k8s.io/v1']);
  });

  it('sends after a while what is no full batch', async () => {
    const hook = open({ maxWaitMs: 5 });
    const first = next();
    give(hook, event('1'));
    await first;
    assert.deepEqual(ids(), [['1']]);
    await hook.close();
  });

  it('tries again when the webhook fails, not when it refuses', async () => {
    codes = [503, 429, 200, 400];
    const hook = open({ batchSize: 1, initialBackoffMs: 1 });
    give(hook, event('1'));
    give(hook, event('2'));
    for (let n = 0; n < 4; n++) await next();
    await hook.close();
    assert.deepEqual(ids(), [['1']]);
  });

  it('loses events rather than memory', async () => {
    const hook = open({ bufferSize: 3, batchSize: 100 });
    for (let i = 0; i < 10; i++) give(hook, event(String(i)));
    await hook.close();
    assert.deepEqual(ids(), [['0', '1', '2']]);
  });

  it('keeps batches within their size', async () => {
    const hook = open({ maxEventBytes: 10_000, maxBatchBytes: 500 });
    for (const id of ['1', '2', '3']) give(hook, event(id));
    await hook.close();
    assert.deepEqual(ids(), [['1', '2'], ['3']]);
  });

  it('is found by a kubeconfig', () => {
    const dir = mkdtempSync(join(tmpdir(), 'k8ts-audit-'));
    const file = join(dir, 'config');
    const read = () => readWebhookKubeconfig(file, (path) => readFileSync(path));
    writeFileSync(join(dir, 'ca.pem'), 'PEM');
    writeFileSync(
      file,
      `
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: 'https://sink/audit', certificate-authority: ca.pem}}]
users: [{name: u, user: {token: t}}]
`,
    );
    const target = read();
    assert.deepEqual(
      [target.url, target.ca?.toString(), target.authorization?.()],
      ['https://sink/audit', 'PEM', 'Bearer t'],
    );
    writeFileSync(file, 'current-context: d');
    assert.throws(read, /no current context/);
    rmSync(dir, { recursive: true });
  });
});
