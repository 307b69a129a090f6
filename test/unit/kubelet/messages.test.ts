/** The kubelet's codec beside a library's, over all messages of CRI, CSI and the plugins. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import protobuf from 'protobufjs';
import { WireError } from '../../../api/codec/wire.ts';
import { createMessages, find, type Descriptors } from '../../../kubelet/messages.ts';

const FACTS = join(import.meta.dirname, '../../../api/facts');
const PLAIN = { longs: Number, enums: String, defaults: true, arrays: true, objects: true };
const SCALARS: Record<string, unknown[]> = {
  string: ['', 'hällo', 'x'.repeat(200)],
  bytes: [Buffer.alloc(0), Buffer.from([0, 255, 128])],
  bool: [true, false],
  int32: [0, -5, 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [0, -7, 1_764_150_000_123_456_000],
  uint64: [0, 2 ** 63, 300],
  double: [0, -1.5],
};

function messagesOf(root: protobuf.NamespaceBase): protobuf.Type[] {
  return root.nestedArray.flatMap((n) => [
    ...(n instanceof protobuf.Type ? [n] : []),
    ...(n instanceof protobuf.Namespace ? messagesOf(n) : []),
  ]);
}

/** An object with all fields but those of a oneof, of which it has one; each message a little other than the next. */
function sample(type: protobuf.Type, depth: number, seed: number): object {
  const out: Record<string, unknown> = {};
  const one = (f: protobuf.Field, n: number): unknown => {
    const list = SCALARS[f.type];
    if (list) return list[n % list.length];
    const resolved = f.resolve().resolvedType;
    if (resolved instanceof protobuf.Enum) return Object.keys(resolved.values)[n % Object.keys(resolved.values).length];
    return sample(resolved as protobuf.Type, depth - 1, n);
  };
  type.fieldsArray.forEach((f, i) => {
    f.resolve();
    const n = seed + i;
    if (depth === 0 && f.resolvedType instanceof protobuf.Type) return;
    if (f.partOf && f.partOf.fieldsArray[seed % f.partOf.fieldsArray.length] !== f) return;
    if (f.map) out[f.name] = { a: one(f, n), '': one(f, n + 1) };
    else out[f.name] = f.repeated ? [one(f, n), one(f, n + 1), one(f, n + 2)].slice(0, n % 4) : one(f, n);
  });
  return out;
}

describe('messages of gRPC', () => {
  for (const file of globSync(join(FACTS, 'grpc-*.json')).sort())
    it(`are those of ${basename(file, '.json')}, both ways`, () => {
      const json = readFileSync(file, 'utf8');
      const own = { own: JSON.parse(json) as Descriptors, outer: undefined };
      const ours = createMessages();
      // descriptors of descriptors are no messages that anybody sends
      const types = messagesOf(protobuf.Root.fromJSON(JSON.parse(json) as protobuf.INamespace)).filter(
        (t) => !/^\.google\.protobuf\.(?!Timestamp$|Duration$|(Bool|String|Int64)Value$)/.test(t.fullName),
      );
      assert.ok(types.length > 1);
      for (const type of types) {
        const codec = ours(find(own, type.fullName));
        for (let seed = 0; seed < 4; seed++) {
          const theirs = type.fromObject(sample(type, 3, seed));
          const plain = type.toObject(type.decode(type.encode(theirs).finish()), PLAIN) as object;
          assert.deepEqual(codec.decode(Buffer.from(type.encode(theirs).finish())), plain, type.fullName);
          const back = type.toObject(type.decode(codec.encode(sample(type, 3, seed))), PLAIN) as object;
          assert.deepEqual(back, plain, type.fullName);
        }
        assert.deepEqual(codec.decode(Buffer.alloc(0)), type.toObject(type.decode(Buffer.alloc(0)), PLAIN));
      }
    });

  it('skip what is unknown, keep unknown numbers of enumerations, and say when they are cut off', () => {
    const scope = {
      own: {
        nested: {
          E: { values: { ZERO: 0, ONE: 1 } },
          M: { fields: { e: { type: 'E', id: 1 }, m: { rule: 'repeated', type: 'M', id: 2 } } },
          Wide: {
            fields: { e: { type: 'int32', id: 1 }, s: { type: 'string', id: 9 }, d: { type: 'double', id: 10 } },
          },
          Map: { fields: { m: { keyType: 'string', type: 'string', id: 1 } } },
        },
      },
      outer: undefined,
    };
    const make = createMessages();
    const [m, wide, map] = ['M', '.Wide', 'Map'].map((name) => make(find(scope, name)));
    assert.deepEqual(m!.decode(wide!.encode({ e: 7, s: 'more', d: 1.5 })), { e: 7, m: [] });
    assert.deepEqual(m!.decode(m!.encode({ e: 'ONE', m: [{ e: 'no such' }] })), {
      e: 'ONE',
      m: [{ e: 'ZERO', m: [] }],
    });
    assert.throws(() => m!.decode(Buffer.from([0x12, 5, 0])), WireError);
    const odd = map!.decode(map!.encode({ m: Object.fromEntries([['__proto__', 'x']]) })) as { m: object };
    assert.deepEqual(Object.entries(odd.m), [['__proto__', 'x']]);
    assert.throws(() => find(scope, 'None'), /no such type: None/);
  });
});
