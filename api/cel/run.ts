/** What closures of compiled expressions run in. */
import { CostLimitError } from './cost.ts';
import { CelError, type Value } from './values.ts';

/** One evaluation. */
export class Run {
  /** Values of variables by name; undefined: there is none. */
  readonly variable: (name: string) => Value | undefined;
  /** Variables of loops; an error stands for a value that couldn't be computed. */
  readonly locals: (Value | CelError)[] = [];
  readonly limit: number;
  cost = 0;

  constructor(variable: (name: string) => Value | undefined, limit: number) {
    this.variable = variable;
    this.limit = limit;
  }
  charge(cost: number): void {
    this.cost += cost;
    if (this.cost > this.limit) throw new CostLimitError();
  }
}
/** A compiled expression. */
export type Eval = (run: Run) => Value;

/** An error of the expression becomes a value. */
export function attempt(step: Eval, run: Run): Value | CelError {
  try {
    return step(run);
  } catch (e) {
    if (e instanceof CelError) return e;
    throw e;
  }
}
