/** postStart and preStop handlers. https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/ */
import type { Container, DeepReadonly } from '../../api/types.ts';
import { errorText } from '../cri/client.ts';
import { checkHttp } from '../probes/check.ts';
import type { PodDeps } from './deps.ts';

type Handler = NonNullable<NonNullable<DeepReadonly<Container>['lifecycle']>['postStart']>;

/** Runs a handler to its end; rejects with what went wrong. `timeoutMs` bounds HTTP. */
export async function runHook(
  hook: Handler,
  target: { id: string; podIP: string; container: DeepReadonly<Container> },
  deps: Pick<PodDeps, 'runtime' | 'clock'>,
  signal?: AbortSignal,
): Promise<void> {
  if (hook.exec) {
    const r = await deps.runtime.execSync(target.id, [...(hook.exec.command ?? [])], 0).catch((error: unknown) => {
      throw new Error(errorText(error));
    });
    if (r.exit_code !== 0) {
      const output = Buffer.concat([r.stdout, r.stderr]).toString('utf8').slice(0, 1024);
      throw new Error(`command '${(hook.exec.command ?? []).join(' ')}' exited with ${r.exit_code}: ${output}`);
    }
  } else if (hook.httpGet) {
    const { podIP, container } = target;
    const r = await checkHttp(hook.httpGet, { podIP, container }, 30_000, deps.clock);
    if (r.result !== 'success') throw new Error(r.output);
  } else if (hook.sleep) {
    await deps.clock.sleep(hook.sleep.seconds * 1000, signal);
  }
}
