/** Fair queuing of an app: its debug dumps, and the Dangling condition that it writes. */
import type { MetricsRegistry } from '../../base/metrics.ts';
import { formatTime } from '../../base/clock.ts';
import { StatusError } from '../../api/status.ts';
import type { AppParts } from '../app.ts';
import { loadBootstrapFacts } from '../bootstrap/facts.ts';
import type { Writer } from '../registry/writer.ts';
import { flowDebugRoutes } from './debug.ts';
import { createFlowControl, type FlowControl } from './flow-control.ts';
import type { FlowSchema } from './types.ts';

const MANAGER = 'api-priority-and-fairness-config-consumer-v1';

export interface FlowStartOptions {
  parts: AppParts;
  writer: Writer;
  metrics: MetricsRegistry;
  totalSeats: number;
  requestTimeoutMs: number;
}

/** Fair queues that follow the flow schemas and priority levels of the app. */
export function startFlowControl(options: FlowStartOptions): FlowControl {
  const { clock, logger, cacheOf, paths } = options.parts;
  const { metrics, totalSeats, requestTimeoutMs } = options;
  const control = createFlowControl({
    clock,
    logger,
    caches: cacheOf,
    metrics,
    facts: loadBootstrapFacts(),
    totalSeats,
    requestTimeoutMs,
    onDangling(schema, dangling) {
      writeCondition(options, schema, dangling).catch((error: unknown) => {
        // It is tried again with the next change; a schema that is gone needs no status.
        if (!(error instanceof StatusError)) logger.warn('a flow schema got no status', { error });
      });
    },
  });
  flowDebugRoutes(
    paths,
    control,
    () => clock.now(),
    () => clock.monotonic(),
  );
  return control;
}

async function writeCondition({ parts, writer }: FlowStartOptions, schema: FlowSchema, dangling: boolean) {
  const level = JSON.stringify(schema.spec?.priorityLevelConfiguration?.name ?? '');
  const said = `This FlowSchema references the PriorityLevelConfiguration object named ${level}`;
  const condition = {
    type: 'Dangling',
    status: dangling ? 'True' : 'False',
    reason: dangling ? 'NotFound' : 'Found',
    message: dangling ? `${said} but there is no such object` : `${said} and it exists`,
    lastTransitionTime: formatTime(parts.clock.now()),
  };
  const resource = 'flowcontrol.apiserver.k8s.io/flowschemas';
  await writer.applyStatus(resource, schema.metadata?.name ?? '', MANAGER, { conditions: [condition] });
}
