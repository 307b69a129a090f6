import assert from 'node:assert/strict';
import { openBrowser, type Page } from '../support/browser.ts';
import { CLUSTER, inNamespace, k8ts, type Kubectl } from './cluster.ts';

// Needs a browser, which is a large package: with the long matrices only.
if (process.env['K8TS_FULL'])
  describe('dashboard in a browser', function () {
    let kubectl: Kubectl;
    let page: Page;
    const shows = (text: string) => `document.body.innerText.includes(${JSON.stringify(text)})`;

    before(async () => {
      kubectl = await inNamespace('dashboard');
      await kubectl.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: talker }
spec:
  replicas: 1
  selector: { matchLabels: { app: talker } }
  template:
    metadata: { labels: { app: talker } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: main
          image: busybox
          command: [sh, -c, 'i=0; while true; do echo line-$i; i=$((i+1)); sleep 1; done']
---
apiVersion: v1
kind: Pod
metadata: { name: too-big }
spec:
  containers:
    - { name: main, image: busybox, resources: { requests: { cpu: 5k } } }
`);
      await kubectl.run('rollout', 'status', 'deployment/talker', '--timeout=180s');
      page = await openBrowser();
    });
    after(async () => {
      await page?.close();
      await kubectl.run('delete', 'namespace', 'dashboard', '--wait=false');
    });

    it('asks who one is', async () => {
      const [address] = k8ts('dashboard', '--name', CLUSTER).trim().split('#');
      await page.go(address!);
      await page.until(shows('Sign in to the cluster'));
    });

    it('signs in with the printed address and shows the cluster', async () => {
      await page.go('about:blank');
      await page.go(k8ts('dashboard', '--name', CLUSTER).trim());
      await page.until(`${shows('Overview')} && ${shows('3 / 3')}`);
      assert.equal(await page.evaluate('location.hash'), '');
      await page.until(shows('FailedScheduling'));
      await page.until(`/[0-9.]+ cores of/.test(document.body.innerText)`, 90_000);
    });

    it('follows the list of pods, filters it, and opens one with its log', async () => {
      await page.evaluate(`location.hash = '#/list/-/v1/pods'`);
      await page.until(shows('too-big'));
      await page.evaluate(`(() => { const f = document.querySelector('input[type=search]'); f.value = 'talker';
        f.dispatchEvent(new Event('input')); })()`);
      await page.until(`!${shows('too-big')} && ${shows('talker-')}`);
      await page.evaluate(
        `[...document.querySelectorAll('td a')].find((a) => a.textContent.startsWith('talker-')).click()`,
      );
      await page.until(`/line-\\d+/.test(document.querySelector('pre.log')?.innerText)`, 60_000);
      const before = await page.evaluate<string>(`document.querySelector('pre.log').innerText`);
      await page.until(`document.querySelector('pre.log').innerText.length > ${before.length}`);
    });

    it('says why a pod waits', async () => {
      await page.evaluate(`location.hash = '#/object/-/v1/pods/dashboard/too-big'`);
      await page.until(`${shows('Insufficient cpu')} && ${shows('The smallest change')}`);
    });

    it('scales a Deployment, and sees its pods come', async () => {
      await page.evaluate(`location.hash = '#/object/apps/v1/deployments/dashboard/talker'`);
      await page.until(shows('1 replicas'));
      await page.evaluate(`[...document.querySelectorAll('button')].find((b) => b.textContent === '+').click()`);
      await page.until(shows('2 replicas'));
      await page.until(`(document.body.innerText.match(/talker-[a-z0-9]+-[a-z0-9]+/g) ?? []).length >= 2`, 60_000);
      await kubectl.run('rollout', 'status', 'deployment/talker', '--timeout=180s');
      assert.deepEqual(page.errors, []);
    });

    it('signs out', async () => {
      await page.evaluate(`[...document.querySelectorAll('button')].find((b) => b.textContent === 'Sign out').click()`);
      await page.until(shows('Sign in to the cluster'));
    });
  });
