import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseParser } from '../../static/events/sse-parser.js';

const bytesOf = (text) => new TextEncoder().encode(text);

function parse(...chunks) {
  const parser = new SseParser();
  return chunks.flatMap((chunk) => parser.push(typeof chunk === 'string' ? bytesOf(chunk) : chunk));
}

const message = (data, id = null) => ({ event: 'message', data, id });

/** Everything the grammar has, in each kind of line end, with characters of one to four bytes. */
const PARTS = [
  'id: a:1\ndata: {"x":1}\n\n',
  ': heartbeat\n\n',
  'id: a:2\n\n',
  'event: stream:open\ndata: {"stream":"open"}\n\n',
  'data: first\ndata:second\ndata\ndata:  indented\n\n',
  'id: a\0b\ndata: kept\n\n',
  'data: ä € 𝄞 \uFEFF\n\n',
  'retry: 10\nunknown: field\ndata: :colon: \n\n',
  'event: lost\n\n',
  'data\n\n',
];
const WANTED = [
  message('{"x":1}', 'a:1'),
  message(null, 'a:2'),
  { event: 'stream:open', data: '{"stream":"open"}', id: null },
  message('first\nsecond\n\n indented'),
  message('kept'),
  message('ä € 𝄞 \uFEFF'),
  message(':colon: '),
  message(''),
];
const LINE_ENDS = { LF: '\n', CR: '\r', CRLF: '\r\n' };

for (const [name, lineEnd] of Object.entries(LINE_ENDS)) {
  const stream = bytesOf(`\uFEFF${PARTS.join('').replaceAll('\n', lineEnd)}`);

  test(`a stream with ${name} line ends gives the same blocks wherever it is cut in two`, () => {
    for (let cut = 0; cut <= stream.length; cut += 1) {
      assert.deepEqual(parse(stream.subarray(0, cut), stream.subarray(cut)), WANTED, `cut at byte ${cut}`);
    }
  });

  test(`a stream with ${name} line ends gives the same blocks in pieces of any size`, () => {
    for (let size = 1; size <= 17; size += 1) {
      const chunks = Array.from({ length: Math.ceil(stream.length / size) }, (_, n) => stream.subarray(n * size, (n + 1) * size));
      assert.deepEqual(parse(...chunks), WANTED, `pieces of ${size}`);
    }
  });
}

test('line ends may be mixed within one block', () => {
  assert.deepEqual(parse('data: a\rdata: b\r\ndata: c\n\r\n'), [message('a\nb\nc')]);
});

test('a block is given as soon as its last carriage return arrives, and the line feed after it starts no other', () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push(bytesOf('data: a\r\r')), [message('a')]);
  assert.deepEqual(parser.push(bytesOf('')), []);
  assert.deepEqual(parser.push(bytesOf('\ndata: b\r\n\r\n')), [message('b')]);
});

test('an empty piece between a carriage return and its line feed ends no block', () => {
  assert.deepEqual(parse('data: a\r', '', '\ndata: b\r', '', '\n\r\n'), [message('a\nb')]);
});

test('only the first byte order mark of a stream is dropped', () => {
  assert.deepEqual(parse('\uFEFFdata: a\n\n', '\uFEFFdata: b\n\n'), [message('a')]);
});

test('an id belongs to its own block and not to the next', () => {
  assert.deepEqual(parse('id: a:1\ndata: x\n\ndata: y\n\n'), [message('x', 'a:1'), message('y')]);
});

test('a block that the stream ends in is not given', () => {
  assert.deepEqual(parse('id: a:1\ndata: x\n'), []);
});

test('many small events in one chunk are all given, in order', () => {
  const text = Array.from({ length: 5_000 }, (_, n) => `id: a:${n}\ndata: ${n}\n\n`).join('');
  assert.deepEqual(parse(text).map(({ data }) => Number(data)), Array.from({ length: 5_000 }, (_, n) => n));
});
