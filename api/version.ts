/** The release of Kubernetes that this one stands for; every component says so. */
export const KUBERNETES_VERSION = 'v1.36.3';

/** `1` and `36`. */
export const [KUBERNETES_MAJOR, KUBERNETES_MINOR] = KUBERNETES_VERSION.slice(1).split('.') as [string, string, string];
