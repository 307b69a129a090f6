#!/usr/bin/env node
// `npx k8ts ...`: the same entry as the npm scripts.
import './run.mjs';
