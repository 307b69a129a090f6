/** Follows what one e2e.test prints and says when a spec begins and how it ended. */

export interface SpecEnd {
  name: string;
  result: 'PASS' | 'FAIL';
  seconds: number;
  message?: string;
  /** It said itself that it can't run here. */
  skipped?: boolean;
  /** All it printed. */
  log: string;
}

/** A line of dashes between ginkgo's blocks. */
const DELIMITER = /^-{30}$/;
/** The line that ends a spec: a bullet (S when it skipped itself), states in brackets, the time. */
const ENDED = /^(?:•|S|P) (.*?)\[(\d+(?:\.\d+)?) seconds\]$/;
/** How much of a failure's text is kept at either end: it may hold whole objects. */
const MESSAGE_ENDS = 1_500;
const shortened = (text: string) =>
  text.length <= 2 * MESSAGE_ENDS ? text : `${text.slice(0, MESSAGE_ENDS)}\n ...\n${text.slice(-MESSAGE_ENDS)}`;

/**
 * Takes lines in turn. Under `--ginkgo.v` a spec is a block that opens with its full name (labels may follow), then
 * its own output, then the line that ends it; a failed one's message comes after that line, until the next delimiter.
 */
export class OutputReader {
  readonly #names: readonly string[];
  readonly #ended: (end: SpecEnd) => void;
  #lines: string[] = [];
  #running: string | undefined;
  #failed: { name: string; seconds: number; state: string; at: number } | undefined;

  constructor(names: readonly string[], ended: (end: SpecEnd) => void) {
    // a longer name first, should one be the start of another
    this.#names = names.toSorted((a, b) => b.length - a.length);
    this.#ended = ended;
  }

  /** The spec that is running. */
  get running(): string | undefined {
    return this.#running;
  }

  line(line: string): void {
    if (this.#failed) {
      this.#lines.push(line);
      if (DELIMITER.test(line)) this.#finishFailed();
      return;
    }
    if (this.#running === undefined) {
      const name = this.#names.find((n) => line.startsWith(n));
      if (name === undefined) return;
      this.#running = name;
      this.#lines = [line];
      return;
    }
    this.#lines.push(line);
    const end = ENDED.exec(line);
    if (!end) return;
    const name = this.#running;
    const seconds = Number(end[2]);
    if (line.startsWith('•') && end[1] === '') {
      this.#running = undefined;
      this.#ended({ name, result: 'PASS', seconds, log: this.#lines.join('\n') });
    } else this.#failed = { name, seconds, state: end[1]!.trim(), at: this.#lines.length };
  }

  #finishFailed(): void {
    const { name, seconds, state, at } = this.#failed!;
    this.#failed = undefined;
    this.#running = undefined;
    const message = shortened([state, ...this.#lines.slice(at, -1)].join('\n').trim());
    const skipped = state.startsWith('[SKIPPED]');
    this.#ended({ name, result: 'FAIL', seconds, message, skipped, log: this.#lines.join('\n') });
  }

  /** The program has ended: `why` is the message of a spec that it didn't bring to an end. */
  close(why: string, seconds: number): void {
    if (this.#failed) this.#finishFailed();
    if (this.#running === undefined) return;
    const name = this.#running;
    this.#running = undefined;
    this.#ended({ name, result: 'FAIL', seconds, message: why, log: this.#lines.join('\n') });
  }
}
