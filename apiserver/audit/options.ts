/** The --audit-* flags. */
import { readFileSync } from 'node:fs';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { FlagError, type Flags } from '../flags.ts';
import { createAuditor, type AuditBackend, type Auditor } from './auditor.ts';
import { createLogBackend } from './log.ts';
import { parsePolicy } from './policy.ts';
import { readWebhookKubeconfig } from '../authentication/remote.ts';
import { createWebhookBackend } from './webhook.ts';

const MIB = 1024 * 1024;
const MAX_EVENT = 100 * 1024;
const MAX_BATCH = 10 * MIB;
const MODES = ['batch', 'blocking', 'blocking-strict'] as const;

/** The auditor that the flags ask for; undefined when there is no policy. Throws FlagError. */
export async function auditorFromFlags(
  flags: Flags,
  { clock, logger }: { clock: Clock; logger: Logger },
): Promise<Auditor | undefined> {
  const policyFile = flags.string('audit-policy-file');
  const path = flags.string('audit-log-path');
  const webhook = flags.string('audit-webhook-config-file');
  const format = flags.string('audit-log-format') ?? 'json';
  if (format !== 'json') throw new FlagError(`--audit-log-format "${format}" is unknown; known is json`);
  const modeOf = (name: string) => {
    const mode = flags.string(name);
    const known = MODES.find((m) => m === mode);
    if (mode !== undefined && !known)
      throw new FlagError(`--${name} "${mode}" is unknown; known are ${MODES.join(', ')}`);
    return known;
  };
  const cut = (backend: string) =>
    flags.bool(`audit-${backend}-truncate-enabled`, false)
      ? {
          maxEventBytes: flags.int(`audit-${backend}-truncate-max-event-size`, MAX_EVENT),
          maxBatchBytes: flags.int(`audit-${backend}-truncate-max-batch-size`, MAX_BATCH),
        }
      : {};
  const log = {
    maxAgeDays: flags.int('audit-log-maxage', 0),
    maxBackups: flags.int('audit-log-maxbackup', 0),
    maxBytes: (flags.int('audit-log-maxsize', 0) || 100) * MIB,
    compress: flags.bool('audit-log-compress', false),
    strict: modeOf('audit-log-mode') === 'blocking-strict',
    ...cut('log'),
  };
  const batch = {
    mode: modeOf('audit-webhook-mode'),
    bufferSize: flags.int('audit-webhook-batch-buffer-size', 10_000),
    batchSize: flags.int('audit-webhook-batch-max-size', 400),
    maxWaitMs: flags.durationMs('audit-webhook-batch-max-wait', 30_000),
    qps: flags.int('audit-webhook-batch-throttle-qps', 10),
    burst: flags.int('audit-webhook-batch-throttle-burst', 15),
    initialBackoffMs: flags.durationMs('audit-webhook-initial-backoff', 10_000),
    ...cut('webhook'),
  };
  if (policyFile === undefined) return undefined;
  try {
    const policy = parsePolicy(readFileSync(policyFile, 'utf8'));
    const backends: AuditBackend[] = [];
    if (webhook !== undefined)
      backends.push(
        createWebhookBackend({
          clock,
          logger,
          target: readWebhookKubeconfig(webhook, (path) => readFileSync(path)),
          ...batch,
        }),
      );
    if (path !== undefined) backends.push(await createLogBackend({ clock, logger, path, ...log }));
    return backends.length === 0 ? undefined : createAuditor({ clock, policy, backends });
  } catch (error) {
    throw new FlagError(`--audit-policy-file or its backends can't be used: ${(error as Error).message}`);
  }
}
