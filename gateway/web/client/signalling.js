/**
 * One WebSocket to the gateway: JSON objects out and in, and a pulse that notices when nobody is there any more.
 *
 * A socket is used once. It tells `onclose` exactly once, whoever closed it, unless `close` was called here.
 */

/** Milliseconds that the handshake may take. */
const OPEN_TIME = 8000;
/** Milliseconds between two pings; a network that broke silently is noticed within this and PONG_TIME. */
const PING_EVERY = 5000;
/** Milliseconds that an answer to a ping may take: a phone on a bad network needs up to 4 s. */
const PONG_TIME = 6000;

export class Signalling {
  #socket;
  #handlers;
  #over = false;
  #pinging = 0;
  #waiting = 0;

  /** handlers: {onopen(), onmessage(object), onclose()}. */
  constructor(handlers) {
    this.#handlers = handlers;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.#socket = new WebSocket(`${scheme}://${location.host}/ws`);
    this.#socket.addEventListener("open", () => this.#opened());
    this.#socket.addEventListener("message", (event) => this.#received(event.data));
    this.#socket.addEventListener("close", () => this.#gone());
    this.#waiting = setTimeout(() => this.#gone(), OPEN_TIME);
  }

  /** Send an object; lost without a word if the socket is not open, for then `onclose` tells. */
  send(message) {
    if (!this.#over && this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Close it; no handler is called any more. */
  close() {
    this.#over = true;
    this.#stop();
    this.#socket.close();
  }

  #opened() {
    if (this.#over) return;
    clearTimeout(this.#waiting);
    this.#waiting = 0;
    this.#pinging = setInterval(() => this.#ping(), PING_EVERY);
    this.#handlers.onopen();
  }

  #ping() {
    this.send({type: "ping"});
    if (!this.#waiting) this.#waiting = setTimeout(() => this.#gone(), PONG_TIME);
  }

  #received(data) {
    if (this.#over) return;
    // Whatever comes shows that somebody is there.
    clearTimeout(this.#waiting);
    this.#waiting = 0;
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message && typeof message.type === "string" && message.type !== "pong") this.#handlers.onmessage(message);
  }

  #gone() {
    if (this.#over) return;
    this.close();
    this.#handlers.onclose();
  }

  #stop() {
    clearInterval(this.#pinging);
    clearTimeout(this.#waiting);
  }
}
