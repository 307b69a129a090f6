import assert from 'node:assert/strict';
import { appendFile, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../base/clock.ts';
import { logContainer, parseLogOptions, renderLine, sendLog, tailOffset } from '../../../kubelet/server/logs.ts';
import { checkLogQuery, journalArgs, parseLogQuery } from '../../../kubelet/server/log-query.ts';
import { subresources } from '../../../kubelet/server/auth.ts';
import { logStamp } from '../../../kubelet/logs/rotate.ts';

const line = (text: string) => Buffer.from(text);

describe('kubelet logs', () => {
  it('shows the text of lines, joins parts, and filters by time and stream', () => {
    const l = line('2030-01-01T00:00:01.5Z stdout F hello world');
    assert.equal(renderLine(l, { timestamps: false })!.toString(), 'hello world\n');
    assert.equal(renderLine(l, { timestamps: true })!.toString(), '2030-01-01T00:00:01.5Z hello world\n');
    assert.equal(renderLine(line('2030-01-01T00:00:01Z stdout P part'), { timestamps: false })!.toString(), 'part');
    assert.equal(renderLine(l, { timestamps: false, since: '2030-01-01T00:00:02Z' }), undefined);
    assert.equal(renderLine(l, { timestamps: false, stream: 'stderr' }), undefined);
    assert.equal(renderLine(line('2030-01-01T00:00:01Z stdout F '), { timestamps: false })!.toString(), '\n');
  });

  it('finds the last lines', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-logs-'));
    try {
      const path = join(dir, 'l');
      const text = Array.from({ length: 5000 }, (_, i) => `line number ${i}\n`).join('');
      await writeFile(path, text);
      const file = await open(path);
      try {
        const tail = async (n: number) => text.slice(await tailOffset(file, text.length, n));
        assert.equal(await tail(2), 'line number 4998\nline number 4999\n');
        assert.equal(await tail(0), '');
        assert.equal((await tail(4999)).split('\n').length, 5000);
        assert.equal(await tail(9999), text);
      } finally {
        await file.close();
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('sends what was there when it was asked for, without what is written meanwhile', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'kubelet-logs-'));
    const path = join(dir, 'l');
    const options = parseLogOptions(new URLSearchParams(), 0);
    const server = createServer((_, res) => {
      sendLog(res, path, options, { clock: systemClock, isRunning: () => true }).catch((error) => res.destroy(error));
    });
    try {
      // More than sockets hold: the server can't be done before the answer is read.
      const text = 'x'.repeat(100_000);
      await writeFile(path, `2030-01-01T00:00:01Z stdout F ${text}\n`.repeat(300));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await appendFile(path, '2030-01-01T00:00:02Z stdout F too late\n');
      const lines = (await response.text()).split('\n');
      assert.equal(lines.length, 301);
      assert.equal(lines[299], text);
      assert.equal(lines[300], '');
    } finally {
      server.closeAllConnections();
      server.close();
      await rm(dir, { recursive: true });
    }
  });

  it('reads options and refuses bad ones', () => {
    const o = parseLogOptions(
      new URLSearchParams('follow=true&tailLines=5&sinceSeconds=10&timestamps=true'),
      Date.parse('2030-01-01T00:00:10Z'),
    );
    assert.deepEqual(o, {
      follow: true,
      timestamps: true,
      previous: false,
      tailLines: 5,
      since: '2030-01-01T00:00:00.000Z',
    });
    assert.throws(() => parseLogOptions(new URLSearchParams('tailLines=-1'), 0));
    assert.throws(() => parseLogOptions(new URLSearchParams('sinceSeconds=1&sinceTime=2030-01-01T00:00:00Z'), 0));
  });

  it('chooses the container and says why there is none', () => {
    const status = (state: object, lastState = {}, containerID = 'containerd://now') => ({
      containerStatuses: [
        { name: 'c', image: '', imageID: '', ready: true, restartCount: 0, state, lastState, containerID },
      ],
    });
    assert.equal(logContainer('p', status({ running: {} }), 'c', false), 'now');
    assert.equal(
      logContainer(
        'p',
        status(
          { waiting: { reason: 'CrashLoopBackOff' } },
          { terminated: { exitCode: 1, containerID: 'containerd://old' } },
        ),
        'c',
        false,
      ),
      'old',
    );
    assert.throws(
      () => logContainer('p', status({ waiting: { reason: 'ContainerCreating' } }), 'c', false),
      /container "c" in pod "p" is waiting to start: ContainerCreating/,
    );
    assert.throws(
      () => logContainer('p', status({ running: {} }), 'c', true),
      /previous terminated container "c" in pod "p" not found/,
    );
    assert.throws(() => logContainer('p', undefined, 'c', false), /is not available/);
  });

  it('maps paths to the subresources that allow them', () => {
    assert.deepEqual(subresources('/stats/summary'), ['stats']);
    assert.deepEqual(subresources('/metrics/cadvisor'), ['metrics']);
    assert.deepEqual(subresources('/exec/ns/p/c'), ['proxy']);
    assert.deepEqual(subresources('/pods'), ['pods', 'proxy']);
  });

  it('names rotated files by date', () => {
    assert.equal(logStamp(Date.parse('2030-02-03T04:05:06.789Z')), '20300203-040506');
  });
});

describe("queries of services' logs", () => {
  it('ask the journal for what is wanted, in UTC', () => {
    const query = parseLogQuery(
      new URLSearchParams('query=kubelet&sinceTime=2030-01-02T03:04:05%2B01:00&tailLines=7&boot=-1&pattern=a.*b'),
    )!;
    checkLogQuery(query);
    assert.deepEqual(journalArgs(query, query.services).slice(3), [
      '--since=2030-01-02 02:04:05 UTC',
      '--pager-end',
      '--lines=7',
      '--unit=kubelet',
      '--grep=a.*b',
      '--boot',
      '-1',
    ]);
    assert.equal(parseLogQuery(new URLSearchParams('other=1')), undefined);
  });
});
