export * from './policies.ts';
export { mutatingWebhookConfigurations, validatingWebhookConfigurations } from './webhooks.ts';
