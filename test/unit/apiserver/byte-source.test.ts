import assert from 'node:assert/strict';
import { JoinedList, readAll } from '../../../apiserver/http/byte-source.ts';

const head = Buffer.from('{"kind":"A","apiVersion":"v1",');
const make = (items: string[]) =>
  new JoinedList(
    Buffer.from('{"items":['),
    items.map((i) => Buffer.from(i)),
    head,
    Buffer.from(']}\n'),
  );
const items = [
  '{"kind":"A","apiVersion":"v1","metadata":{"name":"a"}}',
  '{"kind":"B","x":1}',
  '{"kind":"A","apiVersion":"v1","n":2}',
];
const want = '{"items":[{"metadata":{"name":"a"}},{"kind":"B","x":1},{"n":2}]}\n';

describe('JoinedList', () => {
  it('leaves kind and apiVersion out of its items', () => {
    const list = make(items);
    const bytes = readAll(list);
    assert.equal(bytes.toString(), want);
    assert.equal(bytes.length, make(items).length);
  });
  it('gives the same bytes in pieces of any size', () => {
    for (let size = 2; size < 70; size++) {
      const list = make(items);
      let text = '';
      for (;;) {
        const piece = Buffer.alloc(size);
        const n = list.fill(piece);
        if (n === 0) break;
        text += piece.subarray(0, n).toString();
      }
      assert.equal(text, want, `pieces of ${size}`);
    }
  });
  it('is a list without items', () => {
    assert.equal(readAll(make([])).toString(), '{"items":[]}\n');
  });
});
