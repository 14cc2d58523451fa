/** Remembers the keys seen last, up to a limit, so that a stream that runs for days does not grow. */
export class RecentKeys {
  #limit;
  #keys = new Set();

  constructor(limit) {
    this.#limit = limit;
  }

  /** Remembers a key. True if it was not remembered yet. */
  add(key) {
    const isNew = !this.#keys.delete(key);
    this.#keys.add(key);
    if (this.#keys.size > this.#limit) this.#keys.delete(this.#keys.values().next().value);
    return isNew;
  }
}
