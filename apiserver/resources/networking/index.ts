export { ipAddresses, serviceCIDRs } from './addresses.ts';
export { ingressClasses, ingresses } from './ingresses.ts';
export { networkPolicies } from './policies.ts';
