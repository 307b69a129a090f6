/** `k8ts why pod/NAME`: why an object isn't what it should be, and what would help. */
import { StatusError } from '../../api/status.ts';
import type { Explanation, Reason } from '../../insight/explain/model.ts';
import { asking, readTarget, type AskOptions } from './ask.ts';
import { UserError, type Context } from './context.ts';

export interface WhyOptions extends AskOptions {
  namespace: string;
  /** `text` or `json`. */
  output?: 'json';
}

/** Nodes of which more is told than the count. */
const MOST_NODES = 20;

/** The explanation as lines of text. */
export function showExplanation(e: Explanation): string[] {
  const lines = [e.summary];
  const show = (reasons: readonly Reason[], depth: number): void => {
    for (const r of reasons) {
      lines.push(`${'  '.repeat(depth)}- ${r.message}`);
      show(r.because ?? [], depth + 1);
      if (r.fix) lines.push(`${'  '.repeat(depth + 1)}=> ${r.fix}`);
    }
  };
  show(e.reasons, 1);
  const nodes = (e.nodes ?? []).filter((n) => !n.fits);
  for (const n of nodes.slice(0, MOST_NODES)) {
    lines.push(`${n.node}:`);
    for (const o of n.objections) {
      lines.push(`  ${o.plugin}: ${o.reasons.join(', ')}`);
      for (const c of o.changes ?? []) lines.push(`    => ${c}`);
    }
  }
  if (nodes.length > MOST_NODES) lines.push(`and ${nodes.length - MOST_NODES} more nodes`);
  const change = e.smallestChange;
  if (change) {
    lines.push(change.tried ? 'The smallest change that makes it fit:' : 'The smallest change that may make it fit:');
    for (const c of change.changes) lines.push(`  ${c}`);
  }
  return lines;
}

export function why(ctx: Context, words: readonly string[], o: WhyOptions): Promise<void> {
  return asking(o, async (client) => {
    const { resource, name } = await readTarget(client, words);
    const called = resource.group === '' ? resource.resource : `${resource.resource}.${resource.group}`;
    const where = resource.namespaced ? `namespaces/${o.namespace}/` : '';
    try {
      const e = await client.request<Explanation>({ path: `/apis/explain.k8ts.io/v1/${where}${called}/${name}` });
      if (o.output === 'json') ctx.say(JSON.stringify(e, undefined, 2));
      else for (const line of showExplanation(e)) ctx.say(line);
    } catch (error) {
      if (error instanceof StatusError) throw new UserError(error.message);
      throw error;
    }
  });
}
