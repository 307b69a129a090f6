/** `k8ts server`: makes this machine the control plane and keeps its programs running. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { createExec } from '../../base/exec.ts';
import type { Logger } from '../../base/log.ts';
import { hasCode } from '../../api/status.ts';
import { createClient, type Client } from '../../client/client.ts';
import { loadKubeconfig } from '../../client/kubeconfig.ts';
import { supervise } from '../cluster/supervisor.ts';
import { buildImage } from '../images/build.ts';
import { RECIPES } from '../images/recipes.ts';
import { pushImage } from '../images/registry.ts';
import { addonManifests } from '../manifests/addons.ts';
import type { NodeSettings } from '../node/options.ts';
import { INSIGHT_PORT, REGISTRY_PORT, type ServerOptions } from './options.ts';
import { ensurePki } from './pki.ts';
import { checkPorts } from './ports.ts';
import { serverPrograms } from './programs.ts';

const RENEWAL_CHECK_MS = 6 * 3600_000;

/** The settings that nodes of this server get. */
function nodeSettings(options: ServerOptions): NodeSettings {
  return {
    clusterDns: options.dnsAddress,
    clusterDomain: options.clusterDomain,
    podCidr: options.podCidr,
    serviceCidr: options.serviceCidr,
    loadBalancerCidrs: options.loadBalancerCidrs,
    network: options.network,
    registry: `http://${options.address}:${REGISTRY_PORT}`,
    sandboxImage: RECIPES['pause']!.names[0]!,
  };
}

/** A client with the administrator's certificate. */
export function adminClient(dataDir: string): Client {
  return createClient({ ...loadKubeconfig(join(dataDir, 'pki', 'admin.conf')), userAgent: 'k8ts' });
}

/** Starts everything; resolves when the API answers, the addons are stored and the registry is filled. */
export async function startServer(
  options: ServerOptions,
  deps: { clock: Clock; logger: Logger; say(line: string): void },
) {
  const { clock, logger } = deps;
  mkdirSync(options.dataDir, { recursive: true });
  await checkPorts(options);
  ensurePki(options, clock);
  const renewal = clock.every(RENEWAL_CHECK_MS, () => void ensurePki(options, clock), { background: true });
  const supervisor = supervise({ dir: options.dataDir, programs: serverPrograms(options), clock, logger });
  try {
    const images = fillRegistry(options, deps);
    await untilReady(options, deps);
    await applyAddons(options);
    await images;
  } catch (error) {
    renewal.cancel();
    await supervisor.stop(5_000);
    throw error;
  }
  return {
    async stop() {
      renewal.cancel();
      await supervisor.stop(10_000);
    },
  };
}

async function untilReady(options: ServerOptions, deps: { clock: Clock; say(line: string): void }): Promise<void> {
  const client = adminClient(options.dataDir);
  const until = deps.clock.monotonic() + 60_000;
  let why = '';
  try {
    for (;;) {
      try {
        await client.request({ path: '/readyz', timeoutMs: 2_000 });
        return;
      } catch (error) {
        const now = error instanceof Error ? error.message : String(error);
        if (now !== why) deps.say(`waiting for the API server: ${(why = now)}`);
        if (deps.clock.monotonic() > until)
          throw new Error(
            `the API server wasn't ready within a minute (${why}); see ${join(options.dataDir, 'log', 'apiserver.log')}`,
          );
        await deps.clock.sleep(100);
      }
    }
  } finally {
    client.close();
  }
}

async function applyAddons(options: ServerOptions): Promise<void> {
  const client = adminClient(options.dataDir);
  const ca = readFileSync(join(options.dataDir, 'pki', 'ca.crt'), 'utf8');
  const plural: Record<string, string> = {};
  try {
    for (const m of addonManifests({
      settings: nodeSettings(options),
      server: `https://${options.address}:${options.port}`,
      ca,
      ingress: options.ingress,
      insight: { port: INSIGHT_PORT, ca },
    })) {
      const base = m.apiVersion.includes('/') ? `/apis/${m.apiVersion}` : `/api/${m.apiVersion}`;
      const resource = (plural[m.kind] ??= `${m.kind.toLowerCase()}${m.kind.endsWith('s') ? 'es' : 's'}`);
      const path = `${base}${m.metadata.namespace ? `/namespaces/${m.metadata.namespace}` : ''}/${resource}/${m.metadata.name}`;
      // Another metrics server may take our place: an APIService is ours only until somebody else has changed it.
      const yields = m.kind === 'APIService';
      try {
        await client.request({
          method: 'PATCH',
          path,
          query: { fieldManager: 'k8ts', force: !yields },
          body: m,
          contentType: 'application/apply-patch+yaml',
        });
      } catch (error) {
        if (!(yields && hasCode(error, 409))) throw error;
      }
    }
  } finally {
    client.close();
  }
}

/** Makes the images (from the cache when they were made before) and serves them. */
async function fillRegistry(options: ServerOptions, deps: { clock: Clock; logger: Logger }): Promise<void> {
  const exec = createExec(deps);
  const base = `http://127.0.0.1:${REGISTRY_PORT}`;
  for (const [name, recipe] of Object.entries(RECIPES)) {
    const image = await buildImage(exec, options.cacheDir, name, recipe);
    for (let tries = 0; ; tries++) {
      try {
        await pushImage(base, image);
        break;
      } catch (error) {
        if (tries >= 100 || !existsSync(image.dir)) throw error;
        await deps.clock.sleep(100);
      }
    }
  }
}
