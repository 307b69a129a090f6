/** Why a pod has no node, or has one and doesn't become ready. */
import type { DeepReadonly, Pod } from '../../api/types.ts';
import { nodes } from '../../client/resources.ts';
import { fine, type Explanation, type NodeVerdict, type Reason } from './model.ts';
import { find, warningsOf, type SchedulerAccount, type Sources } from './sources.ts';

type PodView = DeepReadonly<Pod>;
type Statuses = NonNullable<PodView['status']>['containerStatuses'];

const condition = (pod: PodView, type: string) => pod.status?.conditions?.find((c) => c.type === type);
export const isReady = (pod: PodView): boolean => condition(pod, 'Ready')?.status === 'True';

export async function explainPod(s: Sources, pod: PodView): Promise<Explanation> {
  const name = pod.metadata!.name!;
  const phase = pod.status?.phase;
  if (phase === 'Succeeded') return { state: 'Ended', summary: `pod ${name} has succeeded`, reasons: [] };
  if (phase === 'Failed') {
    const { reason, message } = pod.status!;
    const told = reason ? [{ message: message ? `${reason}: ${message}` : reason }] : [];
    return { state: 'Ended', summary: `pod ${name} has failed`, reasons: [...told, ...ends(pod)] };
  }
  if (!pod.spec?.nodeName) return explainPending(s, pod);
  if (isReady(pod)) return fine(`pod ${name} is ready on ${pod.spec.nodeName}`);
  return explainUnready(s, pod);
}

async function explainPending(s: Sources, pod: PodView): Promise<Explanation> {
  const { name, namespace } = pod.metadata!;
  const told = await s.scheduler(namespace!, name!);
  const scheduled = condition(pod, 'PodScheduled');
  if (pod.spec?.schedulingGates?.length) {
    const gates = pod.spec.schedulingGates.map((g) => g.name).join(', ');
    const fix = 'whoever put the gates must take them away';
    return waiting(`pod ${name} is held back by scheduling gates`, [{ message: `gates: ${gates}`, fix }]);
  }
  if (!told) {
    const own = (pod.spec?.schedulerName ?? 'default-scheduler') === 'default-scheduler';
    const why = scheduled?.message ? [{ message: scheduled.message }] : [];
    const who = own ? 'the scheduler can not be asked' : `scheduler ${pod.spec?.schedulerName} is to place it`;
    return waiting(`pod ${name} has no node: ${who}`, why);
  }
  if (told.gate) return waiting(`pod ${name} is held back by ${told.gate.plugin}`, toReasons([told.gate]));
  if (told.everywhere?.length && !told.now)
    return waiting(`pod ${name} fits on no node`, toReasons(told.everywhere), { message: told.message });
  const verdicts = Object.entries(told.now ?? {}).map(([node, objections]): NodeVerdict => ({
    node,
    fits: objections.length === 0,
    objections,
  }));
  const fitting = verdicts.filter((v) => v.fits).map((v) => v.node);
  const nominated = pod.status?.nominatedNodeName;
  const extra: Reason[] = nominated
    ? [{ message: `node ${nominated} is promised to it: pods of lower priority are ending there` }]
    : [];
  if (fitting.length > 0) {
    extra.push({ message: `it fits on ${fitting.slice(0, 5).join(', ')} now and will be tried again` });
    return { ...waiting(`pod ${name} is about to be placed`, extra), nodes: verdicts };
  }
  const summary = verdicts.length === 0 ? `pod ${name} waits for a node: there is none` : `pod ${name} fits on no node`;
  return {
    ...waiting(summary, [...byReason(verdicts), ...extra]),
    nodes: verdicts,
    ...(told.smallestChange ? { smallestChange: told.smallestChange } : {}),
  };
}

const waiting = (summary: string, reasons: readonly Reason[], more: { message?: string } = {}): Explanation => ({
  state: 'Waiting',
  summary,
  reasons: reasons.length > 0 || !more.message ? reasons : [{ message: more.message }],
});
const toReasons = (list: NonNullable<SchedulerAccount['everywhere']>): Reason[] =>
  list.flatMap((r) => r.reasons.map((message) => ({ message: `${r.plugin}: ${message}` })));

/** How many nodes fall for which reason. */
function byReason(verdicts: readonly NodeVerdict[]): Reason[] {
  const counts = new Map<string, number>();
  for (const v of verdicts)
    for (const text of new Set(v.objections.flatMap((o) => o.reasons.map((r) => `${o.plugin}: ${r}`))))
      counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([text, n]) => ({ message: `${n} of ${verdicts.length} nodes: ${text}` }));
}

async function explainUnready(s: Sources, pod: PodView): Promise<Explanation> {
  const { name } = pod.metadata!;
  const nodeName = pod.spec!.nodeName!;
  const reasons: Reason[] = [];
  const node = await find(s, nodes, nodeName);
  const ready = node?.status?.conditions?.find((c) => c.type === 'Ready');
  const object = { resource: 'nodes', name: nodeName };
  if (!node) reasons.push({ message: `node ${nodeName} is gone`, object });
  else if (ready?.status !== 'True')
    reasons.push({
      message: `node ${nodeName} is not ready: ${ready?.message ?? 'its kubelet has never reported'}`,
      object,
    });
  if (pod.status?.reason) reasons.push({ message: `${pod.status.reason}: ${pod.status.message ?? ''}` });
  const resize = condition(pod, 'PodResizePending');
  if (resize?.status === 'True') reasons.push({ message: `its new size waits: ${resize.message ?? resize.reason}` });
  const init = containers(pod.status?.initContainerStatuses, pod.spec!.initContainers, true);
  // Containers wait for the init containers; saying so of each would hide what matters.
  reasons.push(...(init.length > 0 ? init : containers(pod.status?.containerStatuses, pod.spec!.containers, false)));
  for (const g of pod.spec!.readinessGates ?? [])
    if (condition(pod, g.conditionType)?.status !== 'True')
      reasons.push({
        message: `readiness gate ${g.conditionType} is not met`,
        fix: 'its controller must set the condition',
      });
  for (const w of await warningsOf(s, pod)) reasons.push({ message: `event ${w}` });
  if (reasons.length === 0) {
    const c = condition(pod, 'ContainersReady') ?? condition(pod, 'PodReadyToStartContainers');
    reasons.push({ message: c?.message ?? `the kubelet of ${nodeName} has not started it yet` });
  }
  return waiting(`pod ${name} is on ${nodeName} but not ready`, reasons);
}

type Specs = NonNullable<PodView['spec']>['containers'] | undefined;
function containers(statuses: Statuses, specs: Specs, init: boolean): Reason[] {
  const out: Reason[] = [];
  for (const c of statuses ?? []) {
    const what = `${init ? 'init container' : 'container'} ${c.name}`;
    const { waiting: wait, terminated, running } = c.state ?? {};
    const last = c.lastState?.terminated;
    const ended = last
      ? ` (it last ended with exit code ${last.exitCode}${last.reason ? `, ${last.reason}` : ''})`
      : '';
    if (wait?.reason && wait.reason !== 'PodInitializing' && wait.reason !== 'ContainerCreating')
      out.push({
        message: `${what}: ${wait.reason}${wait.message ? `: ${wait.message}` : ''}${ended}`,
        fix: FIXES[wait.reason],
      });
    else if (wait) out.push({ message: `${what} is being started${ended}` });
    else if (terminated && (!init || terminated.exitCode !== 0))
      out.push({
        message: `${what} ended with exit code ${terminated.exitCode}${terminated.reason ? ` (${terminated.reason})` : ''}`,
      });
    else if (running && !c.ready && !(init && c.started)) {
      const spec = specs?.find((x) => x.name === c.name);
      if (init && spec?.restartPolicy !== 'Always') out.push({ message: `${what} is still at work` });
      else if (c.started === false) out.push({ message: `${what} runs; its startup probe has not succeeded yet` });
      else out.push({ message: `${what} runs; its readiness probe does not succeed` });
    }
  }
  return out;
}

const FIXES: Readonly<Record<string, string | undefined>> = {
  ImagePullBackOff: 'check the name of the image and the pull secrets',
  ErrImagePull: 'check the name of the image and the pull secrets',
  InvalidImageName: 'correct the name of the image',
  ErrImageNeverPull: 'put the image on the node, or allow it to be pulled',
  CrashLoopBackOff: 'see what it printed: kubectl logs --previous',
  CreateContainerConfigError: 'make the ConfigMap or Secret that it names',
};

/** How containers of a failed pod ended. */
function ends(pod: PodView): Reason[] {
  return [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].flatMap((c) => {
    const t = c.state?.terminated;
    return t && t.exitCode !== 0
      ? [{ message: `container ${c.name} ended with exit code ${t.exitCode}${t.reason ? ` (${t.reason})` : ''}` }]
      : [];
  });
}
