import assert from 'node:assert/strict';
import protobuf from 'protobufjs';
import { createMessages, type FieldSpec } from '../../../apiserver/storage/etcd/messages.ts';

const SPECS: Record<string, Record<string, FieldSpec>> = {
  Item: { key: ['bytes', 1], revision: ['int64', 3], note: ['string', 6], flag: ['bool', 20] },
  List: { items: ['Item', 2, 'repeated'], more: ['bool', 3], one: ['Item', 4], target: ['int32', 17] },
};

describe('messages of etcd', () => {
  const messages = createMessages(SPECS);
  const list = messages('List');
  const nested = Object.fromEntries(
    Object.entries(SPECS).map(([name, fields]) => [
      name,
      { fields: Object.fromEntries(Object.entries(fields).map(([k, [type, id, rule]]) => [k, { type, id, rule }])) },
    ]),
  );
  const reference = protobuf.Root.fromJSON({ nested } as protobuf.INamespace).lookupType('List');
  const full = {
    items: [
      { key: Buffer.alloc(5000, 'k'), revision: 300, note: `ä€😀${'x'.repeat(90)}`, flag: true },
      { key: Buffer.from('b'), revision: -5, note: 'x', flag: true },
    ],
    more: true,
    one: { key: Buffer.from('c'), revision: 2 ** 52 + 1, note: 'n', flag: true },
    target: 7,
  };

  it('are the bytes that a protobuf library makes, and come back as they were', () => {
    const bytes = list.encode(full);
    assert.deepEqual(bytes, Buffer.from(reference.encode(full).finish()));
    assert.deepEqual(list.decode(bytes), full);
  });

  it('leave out what is undefined, and are zero where nothing is said', () => {
    // What is zero but given is sent: as a member of a oneof it says more than nothing.
    const bytes = list.encode({ items: [], one: { revision: 0 }, more: undefined });
    assert.deepEqual([...bytes], [0x22, 2, 0x18, 0]);
    const one = { key: Buffer.alloc(0), revision: 0, note: '', flag: false };
    assert.deepEqual(list.decode(bytes), { items: [], more: false, one, target: 0 });
  });

  it('keep all 64 bits of a number', () => {
    for (const revision of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]) {
      const read = list.decode(list.encode({ one: { revision } })) as { one: { revision: bigint } };
      assert.equal(read.one.revision, revision);
    }
  });

  it('skip what they do not know, and refuse what is cut off', () => {
    const unknown = Buffer.from([0x48, 1, 0x52, 2, 9, 9, 0x5d, 1, 2, 3, 4]);
    assert.deepEqual(list.decode(unknown), list.decode(Buffer.alloc(0)));
    const bytes = list.encode(full);
    assert.throws(() => list.decode(bytes.subarray(0, 100)), /unexpected EOF/);
  });
});
