/** Events in batches to a webhook. Memory is bounded: what the webhook can't take in time is lost, and said so. */
import type { Clock, Timer } from '../../base/clock.ts';
import { exchange } from '../../base/exchange.ts';
import type { Logger } from '../../base/log.ts';
import { agentFor, type WebhookAddress } from '../authentication/remote.ts';
import type { AuditBackend } from './auditor.ts';
import { truncated } from './truncate.ts';

export interface WebhookOptions {
  clock: Clock;
  logger: Logger;
  target: WebhookAddress;
  /**
   * `batch` by default. `blocking` sends each event at once and holds up its request, `blocking-strict` refuses the
   * request when that fails.
   */
  mode?: 'batch' | 'blocking' | 'blocking-strict';
  /** Events that may wait; defaults to 10,000. */
  bufferSize?: number;
  /** Events sent at a time; defaults to 400. */
  batchSize?: number;
  /** How long an event may wait for others, in ms; defaults to 30,000. */
  maxWaitMs?: number;
  /** Batches per second on average, and at once; default to 10 and 15. */
  qps?: number;
  burst?: number;
  /** Before the second attempt, in ms; grows by half each time; defaults to 10,000. */
  initialBackoffMs?: number;
  /** Longer events lose their objects; unlimited when absent. */
  maxEventBytes?: number;
  /** Batches are at most so long, when events are bounded at all. */
  maxBatchBytes?: number;
}

const ATTEMPTS = 5;
const TIMEOUT_MS = 30_000;
/** Nothing of an answer counts but its code; in bytes. */
const MAX_ANSWER = 8 * 1024 * 1024;
/** How long a webhook that doesn't answer may hold up the server's end, in ms. */
const CLOSE_MS = 3000;

class SendError extends Error {
  readonly again: boolean;
  constructor(message: string, again: boolean) {
    super(message);
    this.again = again;
  }
}

/** A backend that sends by itself; `close` sends what is left, for three seconds at most. */
export function createWebhookBackend(options: WebhookOptions): AuditBackend {
  const { clock, logger, target } = options;
  const bufferSize = options.bufferSize ?? 10_000;
  const batchSize = options.batchSize ?? 400;
  const maxWaitMs = options.maxWaitMs ?? 30_000;
  const burst = options.burst ?? 15;
  const qps = options.qps ?? 10;
  const agent = agentFor(target);
  const stopping = new AbortController();
  /** Cuts what is under way off. */
  const cut = new AbortController();
  let waiting: string[] = [];
  let lost = 0;
  let timer: Timer | undefined;
  let sending: Promise<void> | undefined;
  let tokens = burst;
  let tokensAt = clock.monotonic();

  async function post(body: Buffer): Promise<void> {
    const authorization = target.authorization?.();
    const { code } = await exchange({
      url: new URL(target.url),
      agent,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'kube-apiserver-audit',
        ...(authorization === undefined ? {} : { authorization }),
      },
      body,
      limit: { clock, ms: TIMEOUT_MS, message: 'the webhook did not answer' },
      maxAnswer: MAX_ANSWER,
      signal: cut.signal,
    }).catch((error: Error) => {
      throw new SendError(error.message, true);
    });
    if (code < 200 || code >= 300) throw new SendError(`the webhook answered ${code}`, code === 429 || code >= 500);
  }

  /** The next events that go together. */
  function nextBatch(): string[] {
    let bytes = 0;
    let n = 0;
    const max = options.maxBatchBytes ?? Infinity;
    while (n < waiting.length && n < batchSize) {
      bytes += Buffer.byteLength(waiting[n]!) + 1;
      if (n > 0 && bytes > max) break;
      n++;
    }
    return waiting.splice(0, n);
  }

  async function throttle(): Promise<void> {
    const now = clock.monotonic();
    tokens = Math.min(burst, tokens + ((now - tokensAt) / 1000) * qps);
    tokensAt = now;
    tokens--;
    if (tokens < 0) await clock.sleep((-tokens / qps) * 1000, stopping.signal).catch(() => {});
  }

  /** Sends events, several times if need be; rejects when that was in vain. */
  async function deliver(batch: readonly string[]): Promise<void> {
    const body = Buffer.from(
      `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[${batch.join(',')}]}`,
    );
    let pause = options.initialBackoffMs ?? 10_000;
    for (let attempt = 1; ; attempt++) {
      try {
        return await post(body);
      } catch (error) {
        const again = error instanceof SendError && error.again;
        if (!again || attempt === ATTEMPTS || stopping.signal.aborted) {
          logger.error('audit events could not be sent', { events: batch.length, error });
          throw error;
        }
      }
      await clock.sleep(pause, stopping.signal).catch(() => {});
      pause *= 1.5;
    }
  }

  /** Sends until less than a whole batch is left; everything with `all`. */
  async function send(all: boolean): Promise<void> {
    while (waiting.length >= batchSize || (all && waiting.length > 0)) {
      const batch = nextBatch();
      await throttle();
      await deliver(batch).catch(() => {});
      if (lost > 0) {
        logger.error('audit events were lost: the webhook is too slow', { events: lost });
        lost = 0;
      }
    }
  }

  function flush(all: boolean): void {
    timer?.cancel();
    timer = undefined;
    sending ??= send(all).finally(() => {
      sending = undefined;
      if (waiting.length > 0 && !stopping.signal.aborted) arm();
    });
  }

  function arm(): void {
    timer ??= clock.after(maxWaitMs, () => flush(true), { background: true });
  }

  const mode = options.mode ?? 'batch';
  const strict = mode === 'blocking-strict';
  let underWay = 0;

  /** One event for itself. */
  async function sendAlone(text: string): Promise<void> {
    if (underWay >= bufferSize) {
      logger.error('an audit event was lost: the webhook is too slow');
      if (strict) throw new Error('the webhook is too slow');
      return;
    }
    underWay++;
    try {
      await deliver([text]);
    } catch (error) {
      if (strict) throw error;
    } finally {
      underWay--;
    }
  }

  return {
    take(event, json) {
      const text = truncated(event, json, options.maxEventBytes ?? Infinity);
      if (text === undefined) return undefined;
      if (mode !== 'batch') return sendAlone(text);
      if (waiting.length >= bufferSize) {
        lost++;
        return undefined;
      }
      waiting.push(text);
      if (waiting.length >= batchSize) flush(false);
      else if (!sending) arm();
      return undefined;
    },
    async close() {
      timer?.cancel();
      stopping.abort(new Error('the server stops'));
      const limit = clock.after(CLOSE_MS, () => cut.abort(new Error('the server stops')), { background: true });
      await sending;
      await send(true);
      limit.cancel();
      agent.destroy();
    },
  };
}
