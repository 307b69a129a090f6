import { appScenarios } from './apps.ts';
import { admissionScenarios } from './admission.ts';
import { crdScenarios } from './crd.ts';
import { strategic, migration, services } from './patches.ts';
import { strictPatches } from './patches-strict.ts';
import { tables } from './tables.ts';
import { subresources, signing } from './subresources.ts';
import { impersonation } from './access.ts';
import { discovery } from './discovery.ts';
import { nodeAccess } from './nodes.ts';
import { reviews, tokens, webhooks } from './reviews.ts';
import { lists } from './lists.ts';
import { policyScenarios } from './policies.ts';
import { retargeted } from './retargeted.ts';
import { retold } from './retold.ts';
import { sweeps } from './sweeps.ts';
import type { Scenario } from './step.ts';

/** Every scenario there is. */
export const scenarios = (): Scenario[] => [
  strategic(),
  strictPatches(),
  migration(),
  services(),
  tables(),
  subresources(),
  signing(),
  impersonation(),
  lists(),
  ...crdScenarios(),
  ...admissionScenarios(),
  ...policyScenarios(),
  ...appScenarios(),
  nodeAccess(),
  tokens(),
  reviews(),
  ...webhooks(),
  discovery(),
  ...sweeps(),
  ...retold(),
  ...retargeted(),
];
