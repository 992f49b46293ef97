/**
 * Tells the server what has arrived here (200) and what was looked at (`read`). Both name the newest and
 * mean all before it, so a burst of messages is confirmed once.
 */

import { read, received } from "./protocol.js";

const RECEIVED_MS = 80;
const READ_MS = 500;

/** @typedef {import("./conversation.js").Conversation} Conversation */

export class Receipts {
  /** @type {Map<string, any>} */
  #timers = new Map();

  /**
   * @param {(frame: import("./protocol.js").Frame) => boolean} send
   * @param {import("./clock.js").Clock} clock
   */
  constructor(send, clock) {
    this.send = send;
    this.clock = clock;
  }

  /** Private entries have arrived. @param {Conversation} conversation */
  arrived(conversation) {
    if (conversation.with === null) return;
    this.#soon(`received ${conversation.dest}`, RECEIVED_MS, () => {
      const newest = conversation.log.at(conversation.log.last);
      if (newest?.id === undefined || newest.seq <= conversation.confirmed) return;
      if (this.send(received(conversation.dest, newest.id))) conversation.confirmed = newest.seq;
    });
  }

  /** Somebody looks at the newest message. @param {Conversation} conversation */
  seen(conversation) {
    if (conversation.isPublic || conversation.log.last <= conversation.readSent) return;
    this.#soon(`read ${conversation.dest}`, READ_MS, () => {
      const { last } = conversation.log;
      if (last > conversation.readSent && this.send(read(conversation.dest, last))) conversation.readSent = last;
    });
  }

  /** A new session: what was said last on the old one may not have arrived. @param {Iterable<Conversation>} conversations */
  connected(conversations) {
    for (const conversation of conversations) {
      conversation.confirmed = 0;
      if (conversation.log.size > 0) this.arrived(conversation);
    }
  }

  /** @param {string} key @param {number} ms @param {() => void} run */
  #soon(key, ms, run) {
    if (this.#timers.has(key)) return;
    this.#timers.set(key, this.clock.set(() => {
      this.#timers.delete(key);
      run();
    }, ms));
  }
}
