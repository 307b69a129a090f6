export * from './classes.ts';
export { persistentVolumeClaims, persistentVolumes } from './volumes.ts';
