/** PrioritySort: higher priority first, then who has waited longer. */
import type { Plugin } from '../core/framework.ts';

export const prioritySort = (): Plugin => ({
  name: 'PrioritySort',
  less: (a, b) =>
    a.info.priority > b.info.priority || (a.info.priority === b.info.priority && a.timestamp < b.timestamp),
});
