import assert from 'node:assert/strict';
import { AuditPolicyError, parsePolicy } from '../../../apiserver/audit/policy.ts';
import { parseRequestInfo } from '../../../apiserver/http/request-info.ts';

const policy = (rules: string, more = '') =>
  parsePolicy(`apiVersion: audit.k8s.io/v1\nkind: Policy\n${more}rules:\n${rules}`);
const levels = (rules: string) => {
  const p = policy(rules);
  return (method: string, path: string, user = 'ann', ...groups: string[]) =>
    p.decide({ name: user, groups }, parseRequestInfo(method, path, new URLSearchParams())).level;
};
const PODS = '/api/v1/namespaces/ns/pods';

describe('audit policy', () => {
  it('takes the first rule that fits, and None when none does', () => {
    const level = levels('- {level: Request, verbs: [create]}\n- {level: Metadata, users: [bob]}');
    assert.equal(level('POST', PODS, 'bob'), 'Request');
    assert.equal(level('GET', PODS, 'bob'), 'Metadata');
    assert.equal(level('GET', PODS, 'ann'), 'None');
  });

  it('looks at groups and namespaces', () => {
    const level = levels(
      '- {level: Metadata, userGroups: [ops, dev]}\n- {level: Request, namespaces: [ns]}\n- {level: RequestResponse, namespaces: [""]}',
    );
    assert.equal(level('GET', PODS, 'ann', 'all', 'dev'), 'Metadata');
    assert.equal(level('GET', PODS), 'Request');
    assert.equal(level('GET', '/api/v1/nodes'), 'RequestResponse');
    assert.equal(level('GET', '/healthz'), 'None');
  });

  it('matches resources, subresources, names and wildcards', () => {
    const of = (resources: string, group = '""') =>
      levels(`- {level: Metadata, resources: [{group: ${group}, resources: ${resources}}]}`);
    assert.equal(of('[pods]')('GET', PODS), 'Metadata');
    assert.equal(of('[pods]')('GET', `${PODS}/a/log`), 'None');
    assert.equal(of('[pods/log]')('GET', `${PODS}/a/log`), 'Metadata');
    assert.equal(of('["pods/*"]')('GET', `${PODS}/a/status`), 'Metadata');
    assert.equal(of('["*/status"]')('GET', `${PODS}/a/status`), 'Metadata');
    assert.equal(of('["*/status"]')('GET', PODS), 'None');
    assert.equal(of('["*"]')('GET', `${PODS}/a/status`), 'Metadata');
    assert.equal(of('["*"]')('GET', '/apis/apps/v1/deployments'), 'None');
    assert.equal(of('["*"]', '"*"')('GET', '/apis/apps/v1/deployments'), 'Metadata');
    const named = levels('- {level: Metadata, resources: [{resources: [pods], resourceNames: [a]}]}');
    assert.equal(named('GET', `${PODS}/a`), 'Metadata');
    assert.equal(named('GET', `${PODS}/b`), 'None');
  });

  it('matches other paths', () => {
    const level = levels('- {level: Metadata, nonResourceURLs: ["/healthz*", "/version"]}');
    assert.equal(level('GET', '/healthz/etcd'), 'Metadata');
    assert.equal(level('GET', '/version'), 'Metadata');
    assert.equal(level('GET', '/version/x'), 'None');
    assert.equal(level('GET', PODS), 'None');
  });

  it('joins stages left out, and lets rules decide on managed fields', () => {
    const p = policy(
      '- {level: Metadata, users: [a], omitStages: [Panic], omitManagedFields: false}\n- {level: Metadata}',
      'omitStages: [RequestReceived]\nomitManagedFields: true\n',
    );
    const of = (name: string) => p.decide({ name, groups: [] }, parseRequestInfo('GET', PODS, new URLSearchParams()));
    assert.deepEqual([...of('a').omitStages], ['RequestReceived', 'Panic']);
    assert.deepEqual([of('a').omitManagedFields, of('b').omitManagedFields], [false, true]);
  });

  it('names what is wrong', () => {
    const refuses = (text: string, pattern: RegExp) =>
      assert.throws(
        () => parsePolicy(text),
        (e: Error) => e instanceof AuditPolicyError && pattern.test(e.message),
      );
    const head = 'apiVersion: audit.k8s.io/v1\nkind: Policy\n';
    refuses('kind: Pod', /^kind/);
    refuses(`${head}rules: []`, /^rules: at least one/);
    refuses(`${head}rules: [{level: Loud}]`, /^rules\[0\]\.level/);
    refuses(`${head}rules: [{level: None, verb: [get]}]`, /^rules\[0\]\.verb: unknown/);
    refuses(`${head}rules: [{level: None, omitStages: [Later]}]`, /no stage/);
    refuses(`${head}rules: [{level: None, nonResourceURLs: [healthz]}]`, /begin with/);
    refuses(`${head}rules: [{level: None, nonResourceURLs: ["/a*b"]}]`, /at its end/);
    refuses(`${head}rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]`, /either/);
  });
});
