/** A server's end of the wire (`docs/wire.md`), over real sockets. The test holds each connection and speaks for the server. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { Queue } from './queue.js';

export const OPEN = { stream: 'open', outcome: 'fresh', cursor: 'epoch:10', heartbeat: 30 };

export class WireServer {
  #http = createServer((request, response) => this.#arrived(new SseConnection(request, response)));
  #sockets = new WebSocketServer({ server: this.#http });
  #connections = new Queue();

  static async start(port = 0) {
    const server = new WireServer();
    server.#sockets.on('connection', (socket, request) => server.#arrived(new WebSocketConnection(request, socket)));
    server.#http.listen(port, '127.0.0.1');
    await once(server.#http, 'listening');
    return server;
  }

  get port() {
    return this.#http.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/stream`;
  }

  /** Every connection that came so far. */
  get connections() {
    return this.#connections.all;
  }

  /** The next connection. Nothing is answered yet. */
  next() {
    return this.#connections.next();
  }

  /** The next connection, opened. */
  async nextOpened(open = {}) {
    const connection = await this.next();
    connection.open(open);
    return connection;
  }

  async stop() {
    if (!this.#http.listening) return;
    this.#http.closeAllConnections();
    this.#sockets.clients.forEach((socket) => socket.terminate());
    this.#http.close();
    await once(this.#http, 'close');
  }

  #arrived(connection) {
    this.#connections.push(connection);
  }
}

class Connection {
  constructor(request) {
    this.request = request;
    this.query = new URL(request.url, 'http://server').searchParams;
  }
}

class SseConnection extends Connection {
  constructor(request, response) {
    super(request);
    this.response = response;
    this.ended = once(response, 'close');
  }

  open(frame = {}) {
    const { status = 200, ...open } = frame;
    this.response.writeHead(status, { 'Content-Type': 'text/event-stream; charset=utf-8' });
    this.control({ ...OPEN, ...open });
  }

  event(event, cursor = null) {
    this.write(`${cursor ? `id: ${cursor}\n` : ''}data: ${JSON.stringify(event)}\n\n`);
  }

  control(frame) {
    this.write(`event: stream:${frame.stream}\ndata: ${JSON.stringify(frame)}\n\n`);
  }

  heartbeat(cursor) {
    this.write(`: heartbeat\n${cursor ? `id: ${cursor}\n` : ''}\n`);
  }

  malformed(cursor) {
    this.write(`id: ${cursor}\ndata: {"id":\n\n`);
  }

  write(text) {
    this.response.write(text);
  }

  end() {
    this.response.end();
  }

  refuse(status, body = {}, headers = {}) {
    this.response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    this.response.end(JSON.stringify(body));
  }
}

class WebSocketConnection extends Connection {
  constructor(request, socket) {
    super(request);
    this.socket = socket;
    this.ended = once(socket, 'close');
  }

  open(frame = {}) {
    this.control({ ...OPEN, ...frame });
  }

  event(event, cursor = null) {
    this.write(JSON.stringify(cursor ? { ...event, cursor } : event));
  }

  control(frame) {
    this.write(JSON.stringify(frame));
  }

  heartbeat(cursor) {
    this.control({ stream: 'heartbeat', cursor });
  }

  malformed() {
    this.write('{"id":');
  }

  write(text) {
    this.socket.send(text);
  }

  end(code = 1000, reason = '') {
    this.socket.close(code, reason);
  }

  refuse(status, body = {}, headers = {}) {
    const later = headers['Retry-After'] ? { retry_after: Number(headers['Retry-After']) } : {};
    this.control({ stream: 'refused', ...body, ...later });
    this.end(4000 + status, body.error);
  }
}
