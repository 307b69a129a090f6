export * from './claims.ts';
export * from './devices.ts';
