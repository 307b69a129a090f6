import assert from 'node:assert/strict';
import { othersFor } from '../../conformance/build.ts';
import { readSpecs } from '../../conformance/specs.ts';

describe('conformance: what is built', () => {
  it('is the suite alone for [Conformance] specs, more for those that need it', () => {
    assert.deepEqual(othersFor(readSpecs()), []);
    assert.deepEqual(othersFor([{ name: '[sig-network] DNS should support configurable pod resolv.conf' }]), [
      'coredns',
    ]);
    assert.deepEqual(othersFor([{ name: '[sig-storage] CSI Mock volume attach' }]), [
      'csi-attacher',
      'csi-provisioner',
      'csi-resizer',
    ]);
  });
});
