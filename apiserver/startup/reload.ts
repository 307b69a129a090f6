/** Certificate, key and authority files of the server: read again when they change, without a restart. */
import type { Agent } from 'node:https';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { followFiles, type ReloadingFiles } from '../../base/tls.ts';
import type { RunningServer } from '../start.ts';
import type { Authentication } from '../authentication/authentication.ts';
import { ensureAuthenticationConfig } from '../bootstrap/bootstrap.ts';
import type { RequestHeaderOptions } from '../authentication/requestheader.ts';

export interface ServerFiles {
  cert: string;
  key: string;
  clientCa?: string;
  requestHeader?: RequestHeaderOptions & { clientCaFile: string };
}

/** Follows the files of a running server. `close` ends it. */
export function followServerFiles(o: {
  clock: Clock;
  logger: Logger;
  server: RunningServer;
  authentication: Authentication;
  files: ServerFiles;
}): { close(): void } {
  const { clock, logger: log, server, authentication, files } = o;
  const follow = (names: readonly string[]) => followFiles({ clock, log, files: names });
  const pair = follow([files.cert, files.key]);
  const clientCa = files.clientCa === undefined ? undefined : follow([files.clientCa]);
  const proxyCa = files.requestHeader === undefined ? undefined : follow([files.requestHeader.clientCaFile]);
  const text = (f: ReloadingFiles | undefined) => f?.contents[0]?.toString('utf8');

  function changed(what: string): void {
    const [cert, key] = pair.contents as readonly [Buffer, Buffer];
    server.setTls({ cert, key, clientCa: [text(clientCa), text(proxyCa)].filter((c) => c !== undefined) });
    log.info('files were read again', { what });
  }
  function publish(): void {
    const ca = text(proxyCa);
    const requestHeader =
      files.requestHeader && ca !== undefined ? { ...files.requestHeader, clientCa: ca } : undefined;
    const { reader, writer } = server.app;
    ensureAuthenticationConfig({ reader, writer, clientCa: text(clientCa), requestHeader }).catch((error: unknown) =>
      log.warn('could not publish the new authorities', { error }),
    );
  }

  pair.onChange(() => changed('serving certificate'));
  clientCa?.onChange(() => {
    authentication.setClientCa(text(clientCa)!);
    changed('client CA');
    publish();
  });
  proxyCa?.onChange(() => {
    authentication.setRequestHeaderCa(text(proxyCa)!);
    changed('requestheader CA');
    publish();
  });
  return {
    close() {
      for (const f of [pair, clientCa, proxyCa]) f?.close();
    },
  };
}

/** Gives an agent's new connections the files' certificate, key and authority after each change. `close` ends it. */
export function followAgentFiles(
  agent: Agent,
  o: { clock: Clock; logger: Logger; files: { cert?: string; key?: string; ca?: string } },
): { close(): void } {
  const named = Object.entries(o.files).filter((e): e is [string, string] => e[1] !== undefined);
  const files = followFiles({ clock: o.clock, log: o.logger, files: named.map(([, file]) => file) });
  files.onChange((contents) => {
    Object.assign(agent.options, Object.fromEntries(named.map(([name], i) => [name, contents[i]])));
    o.logger.info('files were read again', { what: 'kubelet client' });
  });
  return files;
}
