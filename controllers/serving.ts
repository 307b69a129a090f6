/** What the manager's own HTTPS port answers: /healthz, /livez, /readyz, /metrics. */
import { metricsAnswer, notFoundAnswer, plainAnswer, type Answer } from '../base/serving.ts';
import type { ControllerManager } from './manager.ts';

export function answer(path: string, manager: ControllerManager): Answer {
  if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) return plainAnswer(200, 'ok');
  return path === '/metrics' ? metricsAnswer(metrics(manager)) : notFoundAnswer;
}

function metrics(manager: ControllerManager): string {
  const lines = [
    '# HELP leader_election_master_status Whether this process leads.',
    '# TYPE leader_election_master_status gauge',
    `leader_election_master_status{name="kube-controller-manager"} ${manager.isLeader ? 1 : 0}`,
    '# HELP running_managed_controllers Controllers that run.',
    '# TYPE running_managed_controllers gauge',
    ...manager.running.map(
      (name) =>
        `running_managed_controllers{manager="kube-controller-manager",name="${name}"} ${manager.isLeader ? 1 : 0}`,
    ),
    '# HELP process_resident_memory_bytes Resident memory size in bytes.',
    '# TYPE process_resident_memory_bytes gauge',
    `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
    '# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.',
    '# TYPE process_cpu_seconds_total counter',
    `process_cpu_seconds_total ${(process.cpuUsage().user + process.cpuUsage().system) / 1e6}`,
  ];
  return `${lines.join('\n')}\n`;
}
