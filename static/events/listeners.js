/** The page's callbacks: each call isolated, so that one that throws stops neither the others nor the stream. */
export class Listeners {
  #entries = new Set();
  #onError;

  /** @param {(error: unknown) => void} onError told what a callback threw, or what its promise was rejected with */
  constructor(onError) {
    this.#onError = onError;
  }

  get size() {
    return this.#entries.size;
  }

  /**
   * Adds a callback. The same callback may be added twice: each is an entry of its own, so that two components can
   * share a function and one of them can leave.
   * @returns {() => void} removes this entry; calling it again does nothing
   */
  add(kind, key, callback) {
    if (typeof callback !== 'function') throw new TypeError(`A callback must be a function, not ${typeof callback}.`);
    const entry = { kind, key, matches: matcherOf(key), callback };
    this.#entries.add(entry);
    return () => void this.#entries.delete(entry);
  }

  /** Removes every entry of this kind and key that calls this callback. */
  remove(kind, key, callback) {
    for (const entry of this.#entries) {
      if (entry.kind === kind && entry.key === key && entry.callback === callback) this.#entries.delete(entry);
    }
  }

  /** Calls, in the order they were added, the callbacks of this kind whose pattern matches the key. */
  emit(kind, key, payload) {
    const called = [...this.#entries].filter((entry) => entry.kind === kind && entry.matches(key));
    for (const entry of called) {
      // An earlier callback may have removed it.
      if (this.#entries.has(entry)) this.#call(entry.callback, payload);
    }
  }

  #call(callback, payload) {
    try {
      const result = callback(payload);
      if (typeof result?.then === 'function') result.then(undefined, this.#onError);
    } catch (error) {
      this.#onError(error);
    }
  }
}

/** Tests a key against a pattern, in which `*` stands for any run of characters. */
export function matcherOf(pattern) {
  if (!pattern.includes('*')) return (key) => key === pattern;
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const expression = new RegExp(`^${parts.join('.*')}$`, 's');
  return (key) => expression.test(key);
}
