import assert from 'node:assert/strict';
import { isLongRunning, parseRequestInfo } from '../../../apiserver/http/request-info.ts';

const parse = (method: string, url: string) => {
  const [path, query] = url.split('?');
  return parseRequestInfo(method, path!, new URLSearchParams(query));
};

describe('parseRequestInfo', () => {
  const cases: [string, string, string][] = [
    ['GET', '/api/v1/namespaces/ns/pods/p', 'get /v1 ns pods p  '],
    ['GET', '/api/v1/namespaces/ns/pods', 'list /v1 ns pods   '],
    ['GET', '/api/v1/pods?watch=true', 'watch /v1  pods   '],
    ['GET', '/api/v1/pods?watch=0', 'list /v1  pods   '],
    ['GET', '/api/v1/watch/namespaces/ns/pods/p', 'watch /v1 ns pods p  '],
    ['DELETE', '/apis/apps/v1/namespaces/ns/deployments', 'deletecollection apps/v1 ns deployments   '],
    ['PUT', '/apis/apps/v1/namespaces/ns/deployments/d/scale', 'update apps/v1 ns deployments d scale '],
    ['GET', '/api/v1/namespaces/ns', 'get /v1 ns namespaces ns  '],
    ['PUT', '/api/v1/namespaces/ns/finalize', 'update /v1 ns namespaces ns finalize '],
    ['PATCH', '/api/v1/namespaces/ns/status', 'patch /v1 ns namespaces ns status '],
    ['GET', '/api/v1/namespaces//pods', 'list /v1  pods   '],
    ['GET', '/api/v1/nodes/n/proxy/metrics/x/', 'get /v1  nodes n proxy metrics/x/'],
    ['POST', '/api/v1/namespaces/ns/pods/p/exec?command=a', 'create /v1 ns pods p exec '],
    ['GET', '/api/v1/pods?fieldSelector=metadata.name%3Dx', 'list /v1  pods x  '],
    [
      'GET',
      '/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode',
      'get rbac.authorization.k8s.io/v1  clusterroles system:node  ',
    ],
  ];
  for (const [method, url, want] of cases)
    it(`${method} ${url}`, () => {
      const i = parse(method, url);
      assert.equal(i.isResourceRequest, true);
      assert.equal(
        `${i.verb} ${i.apiGroup}/${i.apiVersion} ${i.namespace} ${i.resource} ${i.name} ${i.subresource} ${i.rest}`,
        want,
      );
    });

  it('leaves other paths alone', () => {
    for (const path of ['/healthz', '/api', '/api/v1', '/apis/apps', '/apis/apps/v1', '/version']) {
      const i = parse('GET', path);
      assert.equal(i.isResourceRequest, false, path);
      assert.equal(i.verb, 'get');
    }
  });

  it('knows what may take long', () => {
    assert.equal(isLongRunning(parse('GET', '/api/v1/pods?watch=1')), true);
    assert.equal(isLongRunning(parse('GET', '/api/v1/namespaces/a/pods/b/log')), true);
    assert.equal(isLongRunning(parse('GET', '/api/v1/namespaces/a/pods/b')), false);
  });
});
