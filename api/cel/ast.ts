/** The syntax tree of CEL, macros expanded. https://github.com/google/cel-spec/blob/master/doc/langdef.md */
import type { Value } from './values.ts';

interface NodeBase {
  readonly id: number;
  /** Where the expression starts, in characters from the start of the source. */
  readonly pos: number;
}
export interface ConstNode extends NodeBase {
  readonly kind: 'const';
  readonly value: Value;
}
export interface IdentNode extends NodeBase {
  readonly kind: 'ident';
  readonly name: string;
}
export interface SelectNode extends NodeBase {
  readonly kind: 'select';
  readonly operand: Expr;
  readonly field: string;
  /** `has(operand.field)` */
  readonly test: boolean;
}
export interface CallNode extends NodeBase {
  readonly kind: 'call';
  /** Operators are `_+_`, `!_`, `_[_]`, `_?._` ... */
  readonly fn: string;
  readonly target: Expr | undefined;
  readonly args: readonly Expr[];
}
export interface ListNode extends NodeBase {
  readonly kind: 'list';
  readonly items: readonly Expr[];
  /** Positions of `?item`. */
  readonly optional: ReadonlySet<number>;
}
export interface MapEntryNode {
  readonly key: Expr;
  readonly value: Expr;
  readonly optional: boolean;
}
export interface MapNode extends NodeBase {
  readonly kind: 'map';
  readonly entries: readonly MapEntryNode[];
}
export interface StructNode extends NodeBase {
  readonly kind: 'struct';
  readonly name: string;
  readonly fields: readonly {
    readonly name: string;
    readonly value: Expr;
    readonly optional: boolean;
    /** Where its colon is. */
    readonly pos: number;
  }[];
}
/** A loop: `accu` starts as `init`, becomes `step` for each element while `condition` holds, then `result` counts. */
export interface ComprehensionNode extends NodeBase {
  readonly kind: 'comprehension';
  readonly range: Expr;
  readonly iterVar: string;
  /** With two variables the first is the index or key, the second the value. */
  readonly iterVar2: string | undefined;
  readonly accuVar: string;
  readonly init: Expr;
  readonly condition: Expr;
  readonly step: Expr;
  readonly result: Expr;
}
export type Expr = ConstNode | IdentNode | SelectNode | CallNode | ListNode | MapNode | StructNode | ComprehensionNode;

/** A source text that is no CEL, or that doesn't fit what it is about; `pos` is where. */
export class CelSyntaxError extends Error {
  readonly pos: number;
  constructor(message: string, source: string, pos: number) {
    super(`ERROR: <input>:${lineOf(source, pos)}: ${message}\n${markOf(source, pos)}`);
    this.name = 'CelSyntaxError';
    this.pos = pos;
  }
}

function lineOf(source: string, pos: number): string {
  const before = source.slice(0, pos).split('\n');
  return `${before.length}:${before.at(-1)!.length + 1}`;
}
function markOf(source: string, pos: number): string {
  const start = source.lastIndexOf('\n', pos - 1) + 1;
  const end = source.indexOf('\n', pos);
  const line = source.slice(start, end < 0 ? undefined : end);
  return ` | ${line}\n | ${'.'.repeat(pos - start)}^`;
}
