/** Things that arrive, for a test to wait for. `push` is bound, so it can be a callback. */
export class Queue {
  all = [];
  #taken = 0;
  #waiting = [];

  push = (item) => {
    this.all.push(item);
    this.#waiting.splice(0).forEach((look) => look());
  };

  /** The next one that was not taken yet; with a test, the next that passes it. */
  async next(test = () => true) {
    for (;;) {
      while (this.#taken < this.all.length) {
        const item = this.all[this.#taken++];
        if (test(item)) return item;
      }
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }
}
