/** What ends a line of an event stream. */
const LINE_END = /\r\n|\r|\n/;

/**
 * Reads a `text/event-stream` that comes in pieces, cut anywhere.
 *
 * Source of the rules: the HTML standard, "Interpreting an event stream". Two things differ on purpose: a block says
 * whether it carried an id itself (events without a cursor must not inherit one), and `retry:` is left out, since the
 * wire has none.
 */
export class SseParser {
  #decoder = new TextDecoder();
  #partialLine = '';
  #afterCarriageReturn = false;
  #block = emptyBlock();

  /**
   * Takes the next bytes and gives the blocks that they complete.
   * @param {Uint8Array} bytes
   * @returns {{event: string, data: string | null, id: string | null}[]} `data` is null for a block with an id alone
   */
  push(bytes) {
    const lines = this.#completeLines(this.#decoder.decode(bytes, { stream: true }));
    return lines.map((line) => this.#takeLine(line)).filter((block) => block !== null);
  }

  #completeLines(text) {
    if (text === '') return [];
    const rest = this.#afterCarriageReturn && text.startsWith('\n') ? text.slice(1) : text;
    this.#afterCarriageReturn = text.endsWith('\r');
    const lines = rest.split(LINE_END);
    lines[0] = this.#partialLine + lines[0];
    this.#partialLine = lines.pop();
    return lines;
  }

  #takeLine(line) {
    if (line === '') return this.#endBlock();
    if (!line.startsWith(':')) this.#takeField(...splitField(line));
    return null;
  }

  #takeField(name, value) {
    if (name === 'data') this.#block.data.push(value);
    else if (name === 'event') this.#block.event = value;
    else if (name === 'id' && !value.includes('\0')) this.#block.id = value;
  }

  #endBlock() {
    const { event, data, id } = this.#block;
    this.#block = emptyBlock();
    if (data.length === 0 && id === null) return null;
    return { event: event || 'message', data: data.length ? data.join('\n') : null, id };
  }
}

function emptyBlock() {
  return { event: '', data: [], id: null };
}

function splitField(line) {
  const colon = line.indexOf(':');
  if (colon < 0) return [line, ''];
  const value = line.slice(colon + 1);
  return [line.slice(0, colon), value.startsWith(' ') ? value.slice(1) : value];
}
