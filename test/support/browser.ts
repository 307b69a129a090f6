/** Headless Chromium, driven over its DevTools protocol. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors',
  '--remote-debugging-port=0',
  '--window-size=1300,1000',
];

export interface Page {
  go(url: string): Promise<void>;
  /** The value of an expression in the page; promises are awaited. */
  evaluate<T>(expression: string): Promise<T>;
  /** Resolves when the expression is true; rejects after `ms` with what the page shows. */
  until(expression: string, ms?: number): Promise<void>;
  screenshot(): Promise<Buffer>;
  /** Errors that scripts of the page threw. */
  readonly errors: readonly string[];
  close(): Promise<void>;
}

/** Starts a browser with one empty page. */
export async function openBrowser(): Promise<Page> {
  if (!existsSync('/usr/bin/chromium')) throw new Error('this test needs Chromium (Debian: apt-get install chromium)');
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const child = spawn('/usr/bin/chromium', [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: 'ignore',
    detached: true,
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const close = async () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // it is over already
    }
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const socket = new WebSocket(await pageUrl(join(profile, 'DevToolsActivePort')), { maxPayload: 64 << 20 });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return await drive(socket, async () => {
      socket.terminate();
      await close();
    });
  } catch (error) {
    await close();
    throw error;
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function pageUrl(portFile: string): Promise<string> {
  for (let i = 0; i < 600; i++) {
    if (existsSync(portFile)) {
      const port = readFileSync(portFile, 'utf8').split('\n')[0];
      const targets = await new Promise<{ type: string; webSocketDebuggerUrl: string }[]>((resolve, reject) => {
        http
          .get({ host: '127.0.0.1', port, path: '/json' }, (res) => {
            let text = '';
            res.setEncoding('utf8').on('data', (c: string) => (text += c));
            res.on('end', () => resolve(JSON.parse(text) as never));
          })
          .on('error', reject);
      }).catch(() => []);
      const page = targets.find((t) => t.type === 'page');
      if (page) return page.webSocketDebuggerUrl;
    }
    await pause(100);
  }
  throw new Error('Chromium did not start within a minute');
}

interface Message {
  id?: number;
  method?: string;
  result?: Record<string, unknown>;
  error?: { message: string };
  params?: { exceptionDetails?: { text: string; exception?: { description?: string } } };
}

async function drive(socket: WebSocket, close: () => Promise<void>): Promise<Page> {
  let last = 0;
  const waiting = new Map<number, (m: Message) => void>();
  const errors: string[] = [];
  socket.on('message', (data: Buffer) => {
    const m = JSON.parse(data.toString()) as Message;
    if (m.id !== undefined) waiting.get(m.id)?.(m);
    if (m.method === 'Runtime.exceptionThrown') {
      const details = m.params?.exceptionDetails;
      errors.push(details?.exception?.description ?? details?.text ?? 'an error');
    }
  });
  const send = (method: string, params: object = {}): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const id = ++last;
      waiting.set(id, (m) => {
        waiting.delete(id);
        if (m.error) reject(new Error(m.error.message));
        else resolve(m.result ?? {});
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
  await send('Runtime.enable');
  await send('Page.enable');
  const page: Page = {
    errors,
    close,
    async go(url) {
      await send('Page.navigate', { url });
    },
    async evaluate<T>(expression: string) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      if (exceptionDetails) throw new Error((exceptionDetails as { text: string }).text);
      return (result as { value: T }).value;
    },
    async until(expression, ms = 30_000) {
      const end = Date.now() + ms;
      for (;;) {
        if (await page.evaluate<boolean>(`Boolean(${expression})`).catch(() => false)) return;
        if (Date.now() > end) {
          const text = await page.evaluate<string>('document.body.innerText').catch(() => '');
          throw new Error(`not within ${ms} ms: ${expression}\n${text.slice(0, 2000)}`);
        }
        await pause(100);
      }
    },
    async screenshot() {
      const { data } = await send('Page.captureScreenshot');
      return Buffer.from(data as string, 'base64');
    },
  };
  return page;
}
