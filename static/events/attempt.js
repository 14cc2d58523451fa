/** Why a connection ended, and what to do about it. */
export class StreamEnd extends Error {
  /**
   * @param {string} reason a short name: a reason of `stream:close`, an error name of a refusal, or `network`,
   *   `ended`, `silent`, `offline`, `headers`, `disconnected`
   * @param {object} [options]
   * @param {boolean} [options.final] do not reconnect
   * @param {number} [options.retryAfter] milliseconds that the server asked to wait
   * @param {object | null} [options.detail] what the server said about it
   */
  constructor(reason, { final = false, retryAfter = 0, detail = null, cause } = {}) {
    super(reason, { cause });
    this.reason = reason;
    this.final = final;
    this.retryAfter = retryAfter;
    this.detail = detail;
  }
}

/** One connection from its start to its end, with the watchdog that ends it when it falls silent. */
export class Attempt {
  #controller = new AbortController();
  #timer = null;
  #longestSilence = null;

  /** @param {number} openWithin milliseconds in which the stream must open */
  constructor(openWithin) {
    this.#expectWithin(openWithin);
  }

  get signal() {
    return this.#controller.signal;
  }

  /** From now on, bytes must come at least this often (milliseconds). */
  expectEvery(longestSilence) {
    this.#longestSilence = longestSilence;
    this.alive();
  }

  /** Bytes came. Before the stream opened they prove nothing. */
  alive() {
    if (this.#longestSilence !== null && !this.signal.aborted) this.#expectWithin(this.#longestSilence);
  }

  /** Ends it; the first end counts. */
  end(streamEnd) {
    clearTimeout(this.#timer);
    this.#controller.abort(streamEnd);
  }

  #expectWithin(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.end(new StreamEnd('silent')), wait);
  }
}
