/** From where on a container's memory is reclaimed harder, before its limit is reached (KEP-2570, cgroup v2). Pure. */

export interface MemoryQos {
  /** Between a container's request and its limit, 0 to 1: memoryThrottlingFactor. */
  factor: number;
  /** Bytes that stand for the limit of a container without one. */
  allocatable(): number;
}

const PAGE_BYTES = 4096;

/** memory.high for a container's request and limit in bytes (0 is none); `max` where throttling makes no sense. */
export function memoryHigh(request: number, limit: number, qos: MemoryQos): string {
  const top = limit || qos.allocatable();
  if (request === limit || top === 0) return 'max';
  const high = Math.floor((request + (top - request) * qos.factor) / PAGE_BYTES) * PAGE_BYTES;
  return high > request ? String(high) : 'max';
}
