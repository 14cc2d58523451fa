/** Keeps the cursor where a page reload does not lose it. Without a storage it keeps nothing. */
export class CursorStore {
  #storage;
  #key;

  constructor(storage, key) {
    this.#storage = storage;
    this.#key = key;
  }

  read() {
    return this.#attempt((storage) => storage.getItem(this.#key)) ?? null;
  }

  write(cursor) {
    this.#attempt((storage) => (cursor ? storage.setItem(this.#key, cursor) : storage.removeItem(this.#key)));
  }

  /** A browser may refuse its storage (private mode, quota): the stream then goes on without it. */
  #attempt(use) {
    if (!this.#storage) return null;
    try {
      return use(this.#storage);
    } catch (error) {
      console.error('The stream cursor cannot be stored; a page reload will start from now.', error);
      this.#storage = null;
      return null;
    }
  }
}
