/** Shuffle sharding: each flow is dealt a small hand of queues, so that two flows seldom share all of theirs. */
import { createHash } from 'node:crypto';

/** Flows whose hands are remembered. */
const MEMO_LIMIT = 4096;

/** Deals hands of `handSize` different numbers below `queues`. */
export class Dealer {
  readonly #queues: number;
  readonly #handSize: number;
  readonly #hands = new Map<string, readonly number[]>();

  constructor(queues: number, handSize: number) {
    this.#queues = queues;
    this.#handSize = Math.min(handSize, queues);
  }

  /** The hand of a flow: always the same for the same schema and distinguisher. */
  hand(schema: string, flow: string): readonly number[] {
    const key = `${schema}\u0000${flow}`;
    let hand = this.#hands.get(key);
    if (hand) return hand;
    hand = this.#deal(createHash('sha256').update(key).digest().readBigUInt64LE(0));
    if (this.#hands.size >= MEMO_LIMIT) this.#hands.clear();
    this.#hands.set(key, hand);
    return hand;
  }

  /** Reads the hash as digits of shrinking base: the first of `queues`, the next of one less, and so on. */
  #deal(hash: bigint): number[] {
    const hand: number[] = [];
    let rest = hash;
    for (let i = 0; i < this.#handSize; i++) {
      const base = BigInt(this.#queues - i);
      let card = Number(rest % base);
      rest /= base;
      // a digit counts among the cards that are left
      for (const taken of [...hand].sort((a, b) => a - b)) if (card >= taken) card++;
      hand.push(card);
    }
    return hand;
  }
}
