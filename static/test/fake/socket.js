/** A WebSocket whose other end is the test. @typedef {import("../../js/connection.js").Socket} Socket */

/** @implements {Socket} */
export class FakeSocket {
  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;
  /** Frames that the page has sent. @type {any[]} */
  sent = [];
  closed = false;

  /** @param {string} text */
  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  accept() {
    this.onopen?.({});
  }

  /** @param {any} frame */
  say(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  /** @param {number} code */
  end(code) {
    this.onclose?.({ code });
  }

  /** The newest frame of a type. @param {string | number} type @returns {any} */
  last(type) {
    return this.sent.findLast((frame) => frame.type === type);
  }

  /** @param {string | number} type @returns {any[]} */
  all(type) {
    return this.sent.filter((frame) => frame.type === type);
  }
}

/** The data of a 1000 frame. @param {object} [more] */
export const readyData = (more = {}) => ({
  user: { id: "ann", name: "Ann" },
  session: "s1",
  token: "t1",
  protocol: 1,
  log: "log-1",
  limits: { text: 4096, frame: 65536, history: 200, resume: 100, ping: 25000 },
  unread: {},
  ...more,
});
