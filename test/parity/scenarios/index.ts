import { admissionScenarios } from './admission.ts';
import { crdScenarios } from './crd.ts';
import { objectScenarios } from './objects.ts';
import { policyScenarios } from './policies.ts';
import type { Scenario } from './step.ts';

/** Every scenario there is. */
export const scenarios = (): Scenario[] => [
  ...objectScenarios(),
  ...crdScenarios(),
  ...admissionScenarios(),
  ...policyScenarios(),
];
