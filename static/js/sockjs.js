/**
 * A session of SockJS over plain requests (docs/protocol.md "SockJS"), for networks that let no WebSocket through: a
 * response that goes on, or one for each frame. It looks like a WebSocket.
 *
 * @typedef {import("./connection.js").Socket} Socket
 *
 * @typedef {object} SockJsOptions
 * @property {string} base  The service's URL, without a slash at the end.
 * @property {boolean} streaming
 * @property {typeof fetch} fetch
 * @property {() => string} newId
 */

/** So much is sent in one request, in characters; a larger frame goes alone. */
const BATCH = 32_768;

/** @implements {Socket} */
export class SockJsSocket {
  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;
  /** @type {string[]} */
  #waiting = [];
  #sending = false;
  #open = false;
  #over = false;
  #abort = new AbortController();

  /** @param {SockJsOptions} options */
  constructor(options) {
    this.options = options;
    // The first part is for load balancers, which look at it to choose a node.
    this.url = `${options.base}/${options.newId().slice(0, 3)}/${options.newId()}`;
    void this.#receive();
  }

  /** @param {string} text */
  send(text) {
    if (!this.#open) throw new DOMException("It is not open.", "InvalidStateError");
    this.#waiting.push(text);
    void this.#flush();
  }

  /** The server notices that nobody receives any more. */
  close() {
    this.#end(1000);
  }

  async #receive() {
    const door = this.options.streaming ? "xhr_streaming" : "xhr";
    try {
      while (!this.#over) {
        const response = await this.#post(door, null);
        if (!response.ok || response.body === null) throw new Error(`${door} was answered with ${response.status}`);
        await this.#read(response.body.getReader());
      }
    } catch {
      // What was on its way may be lost, so the session is.
      this.#end(1006);
    }
  }

  /** Each line is a frame. @param {ReadableStreamDefaultReader<Uint8Array>} reader */
  async #read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.#over) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#frame(line);
    }
  }

  /** @param {string} frame */
  #frame(frame) {
    if (this.#over) return;
    if (frame === "o" && !this.#open) {
      this.#open = true;
      this.onopen?.({});
    } else if (frame === "o") {
      // The server has forgotten this session and begun another.
      this.#end(1006);
    } else if (frame.startsWith("a")) {
      for (const data of JSON.parse(frame.slice(1))) if (!this.#over) this.onmessage?.({ data });
    } else if (frame.startsWith("c")) {
      const code = JSON.parse(frame.slice(1))[0];
      // 2010 and 1002 are of SockJS: the connection broke.
      this.#end(code === 2010 || code === 1002 ? 1006 : code);
    }
  }

  /** One request at a time, so that frames stay in order. */
  async #flush() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      while (this.#waiting.length > 0 && !this.#over) {
        const response = await this.#post("xhr_send", JSON.stringify(this.#batch()));
        // Of a body that was too large the session itself is told.
        if (!response.ok && response.status !== 413) throw new Error(`xhr_send was answered with ${response.status}`);
      }
    } catch {
      this.#end(1006);
    } finally {
      this.#sending = false;
    }
  }

  #batch() {
    let count = 0;
    for (let length = 0; count < this.#waiting.length && count < 100; count += 1) {
      length += this.#waiting[count]?.length ?? 0;
      if (count > 0 && length > BATCH) break;
    }
    return this.#waiting.splice(0, count);
  }

  /** @param {string} door @param {string | null} body */
  #post(door, body) {
    return this.options.fetch(`${this.url}/${door}`, { method: "POST", body, cache: "no-store", signal: this.#abort.signal });
  }

  /** @param {number} code */
  #end(code) {
    if (this.#over) return;
    this.#over = true;
    this.#waiting = [];
    this.#abort.abort();
    this.onclose?.({ code });
  }
}
