import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import protobufjs from 'protobufjs';
import { DecodeError } from '../../../api/codec/errors.ts';
import {
  decodeProtobuf,
  encodeMessage,
  encodeProtobuf,
  protobufListEnds,
  protobufListItem,
  isProtobuf,
  openEnvelope,
} from '../../../api/codec/protobuf.ts';
import { WireReader, WireWriter } from '../../../api/codec/wire.ts';
import { builtinSchemas } from '../../../api/schema/builtin.ts';
import { normalize } from '../../../api/schema/normalize.ts';
import type { JsonObject, KubeObject } from '../../../api/types.ts';
import { int, random, seeded } from './gen.ts';

// A second, plain writer: what the bytes must be, field by field.
const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
const bytes = (id: number, body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([...varint(id * 8 + 2), ...varint(body.length)]), body]);
const text = (id: number, s: string) => bytes(id, Buffer.from(s));
const number = (id: number, n: number) => Buffer.from([...varint(id * 8), ...varint(n)]);
const message = (id: number, ...fields: Buffer[]) => bytes(id, Buffer.concat(fields));

const envelope = (kind: string, body: Buffer) =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    message(1, text(1, 'v1'), text(2, kind)),
    bytes(2, body),
    text(3, ''),
    text(4, ''),
  ]);

const configMap = { group: '', version: 'v1', kind: 'ConfigMap' };

describe('protobuf', () => {
  it('writes the bytes that Go writes', () => {
    const object = {
      kind: 'ConfigMap',
      apiVersion: 'v1',
      metadata: { name: 'a', creationTimestamp: '2024-01-01T00:00:00Z', labels: { b: '2', a: '1' } },
      data: { k: 'v' },
      binaryData: { x: 'AAE=' },
      immutable: false,
    };
    const expected = Buffer.concat([
      Buffer.from('k8s\0'),
      message(1, text(1, 'v1'), text(2, 'ConfigMap')),
      message(
        2,
        message(
          1,
          text(1, 'a'),
          text(2, ''),
          text(3, ''),
          text(4, ''),
          text(5, ''),
          text(6, ''),
          number(7, 0),
          message(8, number(1, 1704067200), number(2, 0)),
          message(11, text(1, 'a'), text(2, '1')),
          message(11, text(1, 'b'), text(2, '2')),
        ),
        message(2, text(1, 'k'), text(2, 'v')),
        message(3, text(1, 'x'), bytes(2, Buffer.from([0, 1]))),
        number(4, 0),
      ),
      text(3, ''),
      text(4, ''),
    ]);
    assert.equal(encodeProtobuf(object).toString('hex'), expected.toString('hex'));
    assert.deepEqual(decodeProtobuf(expected), object);
  });

  it('writes embedded JSON as Go does, markup escaped', () => {
    const revision = {
      kind: 'ControllerRevision',
      apiVersion: 'apps/v1',
      metadata: {},
      data: { b: 'a<b && c>d', a: 1 },
      revision: 1,
    };
    const written = encodeProtobuf(revision);
    assert.ok(written.includes(String.raw`{"b":"a\u003cb \u0026\u0026 c\u003ed","a":1}`));
    assert.deepEqual(decodeProtobuf(written), revision);
  });

  it('writes embedded structs, unions, ports and quantities in their messages', () => {
    const probe = encodeMessage({
      kind: 'Pod',
      apiVersion: 'v1',
      spec: {
        containers: [{ name: 'c', resources: {}, livenessProbe: { httpGet: { port: 'web' }, periodSeconds: 10 } }],
      },
    });
    const intOrString = Buffer.concat([number(1, 1), number(2, 0), text(3, 'web')]);
    assert.ok(probe.includes(message(1, message(2, text(1, ''), bytes(2, intOrString), text(3, ''), text(4, '')))));
    const quota = encodeMessage({ kind: 'ResourceQuota', apiVersion: 'v1', spec: { hard: { cpu: '500m' } } });
    assert.ok(quota.includes(message(1, text(1, 'cpu'), message(2, text(1, '500m')))));
  });

  it('says the same as another implementation, for random objects of every kind', () => {
    const facts = JSON.parse(
      readFileSync(new URL('../../../api/facts/api-proto.json', import.meta.url), 'utf8'),
    ) as protobufjs.INamespace;
    const root = protobufjs.Root.fromJSON(facts);
    const registry = builtinSchemas();
    const r = seeded(12);
    for (const k of registry.kinds()) {
      // Has neither kind nor apiVersion of its own.
      if (k.kind === 'WatchEvent') continue;
      const type = registry.type(k.type);
      const proto = k.type.replace('io.k8s.', 'k8s.io.').replace('-', '_');
      const object = normalize(random(r, type, 4), type).object as KubeObject;
      object.kind = k.kind;
      object.apiVersion = k.group === '' ? k.version : `${k.group}/${k.version}`;
      const encoded = encodeProtobuf(object);
      const other = root.lookupType(proto);
      const read = other.decode(openEnvelope(encoded).message);
      assert.equal(Buffer.from(other.encode(read).finish()).length, openEnvelope(encoded).message.length, k.kind);
      const back = decodeProtobuf(encoded);
      // Empty lists are unset in protobuf; after one way through nothing changes any more.
      assert.deepEqual(decodeProtobuf(encodeProtobuf(back)), back, k.kind);
      assert.equal(encodeProtobuf(back).toString('hex'), encoded.toString('hex'), k.kind);
    }
  });

  it('joins lists from ready messages', () => {
    const item = (name: string) => ({ metadata: { name }, data: { a: name } });
    const whole = encodeProtobuf({
      kind: 'ConfigMapList',
      apiVersion: 'v1',
      metadata: { resourceVersion: '5' },
      items: [item('x'), item('y')],
    });
    const items = Buffer.concat(['x', 'y'].map((n) => protobufListItem(encodeMessage(item(n), configMap))));
    const kind = { ...configMap, kind: 'ConfigMapList' };
    const { front, back } = protobufListEnds(kind, { resourceVersion: '5' }, items.length);
    assert.ok(Buffer.concat([front, items, back]).equals(whole));
  });

  it('takes Status and options of any group', () => {
    const options = {
      kind: 'DeleteOptions',
      apiVersion: 'policy/v1',
      gracePeriodSeconds: 0,
      propagationPolicy: 'Foreground',
    };
    assert.deepEqual(decodeProtobuf(encodeProtobuf(options)), options);
    const status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      code: 404,
      details: { causes: [{ field: 'x' }] },
    };
    assert.deepEqual(decodeProtobuf(encodeProtobuf(status)), status);
  });

  it('keeps integers exact at the edges', () => {
    for (const v of [
      0,
      1,
      127,
      128,
      300,
      2 ** 32,
      2 ** 53 - 1,
      -1,
      -(2 ** 31),
      2n ** 63n - 1n,
      -(2n ** 63n),
      2n ** 53n,
    ]) {
      const w = new WireWriter(1);
      w.int(v);
      assert.equal(new WireReader(w.finish()).int(), v);
    }
  });

  it('refuses what is no such message', () => {
    const good = encodeProtobuf({ metadata: { name: 'a' }, data: { k: 'v' } }, configMap);
    const refused = (b: Buffer) => assert.throws(() => decodeProtobuf(b), DecodeError, b.toString('hex'));
    refused(Buffer.from('{"a":1}'));
    refused(Buffer.alloc(0));
    refused(good.subarray(0, good.length - 20));
    refused(envelope('Nope', Buffer.alloc(0)));
    refused(envelope('ConfigMap', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])));
    refused(envelope('ConfigMap', Buffer.from([0x0f])));
    assert.equal(isProtobuf(good), true);
    assert.equal(isProtobuf(Buffer.from('k8')), false);
  });

  it('never fails otherwise than by DecodeError, on damaged bytes', () => {
    const r = seeded(14);
    const type = builtinSchemas().type('io.k8s.api.core.v1.Pod');
    for (let i = 0; i < 1500; i++) {
      const pod = { ...(normalize(random(r, type, 4), type).object as JsonObject), kind: 'Pod', apiVersion: 'v1' };
      const b = encodeProtobuf(pod);
      for (let n = int(r, 1, 4); n > 0; n--) b[int(r, 4, b.length - 1)] = int(r, 0, 255);
      try {
        decodeProtobuf(b);
      } catch (e) {
        assert.ok(e instanceof DecodeError, String(e));
      }
    }
  });
});
