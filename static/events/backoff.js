const LONGEST_RETRY_AFTER = 3_600_000;

/**
 * How long to wait before the next attempt: full jitter, so that the clients of a restarted server do not all come back
 * in the same moment. Times are in milliseconds.
 */
export class Backoff {
  #base;
  #cap;
  #stableAfter;
  #random;
  #now;
  #attempt = 0;
  #openedAt = null;

  constructor({
    base = 1_000, cap = 30_000, stableAfter = 5_000, random = Math.random, now = () => performance.now(),
  } = {}) {
    this.#base = base;
    this.#cap = cap;
    this.#stableAfter = stableAfter;
    this.#random = random;
    this.#now = now;
  }

  /** How many attempts have failed since a stream last stayed open. */
  get attempt() {
    return this.#stayedOpen() ? 0 : this.#attempt;
  }

  /** Says that a stream opened. It counts as a success only once it has stayed open. */
  opened() {
    this.#openedAt = this.#now();
  }

  /** Says that the stream closed. From now on no time counts as having stayed open. */
  closed() {
    this.#attempt = this.attempt;
    this.#openedAt = null;
  }

  /** The next wait: random between 0 and `min(cap, base * 2^attempt)`. */
  next() {
    this.closed();
    const limit = Math.min(this.#cap, this.#base * 2 ** this.#attempt);
    this.#attempt += 1;
    return this.#random() * limit;
  }

  #stayedOpen() {
    return this.#openedAt !== null && this.#now() - this.#openedAt >= this.#stableAfter;
  }
}

/**
 * The wait that a `Retry-After` header asks for, at most an hour (a longer timer could overflow and fire at once).
 * @param {string | null} header seconds or an HTTP date
 * @returns {number} milliseconds; 0 if there is none or it cannot be read
 */
export function retryAfterOf(header, now = Date.now()) {
  if (!header) return 0;
  const wait = /^\s*\d+\s*$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Math.min(Math.max(wait || 0, 0), LONGEST_RETRY_AFTER);
}

/**
 * Waits.
 * @param {number} wait milliseconds
 * @param {AbortSignal} signal ends the wait
 * @param {(end: () => void) => void} [giveEnd] is given a function that ends the wait
 */
export function pause(wait, signal, giveEnd = () => {}) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, wait);
    signal.addEventListener('abort', end);
    giveEnd(end);
  });
}
