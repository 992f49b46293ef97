/**
 * Empties the outbox: sends, waits for 100, and sends again under the same id whatever was not answered,
 * came too fast, or met a store that was away for a moment (docs/protocol.md "Talking").
 */

import { dataMessage } from "./protocol.js";
import { backoff } from "./backoff.js";

/** @typedef {{ timer: any, tries: number, unanswered: number }} Flight */

const PATIENCE_MS = 15_000;
const RATE_PAUSE_MS = 1_000;
const UNANSWERED_AT_MOST = 5;

export class Sender {
  /** Set while sending has to pause. @type {any} */
  #pause = null;
  /** Per message: the timer of its answer, how often it was sent, and how often nothing came back. @type {Map<string, Flight>} */
  #flights = new Map();
  /** Messages that were refused because their id stands for something else. @type {Set<string>} */
  #spoilt = new Set();

  /**
   * @param {import("./outbox.js").Outbox} outbox
   * @param {(frame: import("./protocol.js").Frame) => boolean} send
   * @param {import("./clock.js").Clock} clock
   * @param {() => number} random
   */
  constructor(outbox, send, clock, random) {
    this.outbox = outbox;
    this.send = send;
    this.clock = clock;
    this.random = random;
  }

  /** Sends what is due, as long as there is a connection. */
  pump() {
    if (this.#pause !== null) return;
    for (const item of this.outbox.due()) {
      if (!this.send(dataMessage(item))) return;
      const { tries = 0, unanswered = 0 } = this.#flights.get(item.id) ?? {};
      const timer = this.clock.set(() => this.#unanswered(item.id), PATIENCE_MS);
      this.#flights.set(item.id, { timer, tries: tries + 1, unanswered });
      this.outbox.markSent(item.id);
    }
  }

  /** A new session: everything that was under way is sent again. */
  connected() {
    this.disconnected();
    this.pump();
  }

  disconnected() {
    this.clock.clear(this.#pause);
    this.#pause = null;
    for (const flight of this.#flights.values()) this.clock.clear(flight.timer);
    this.#flights.clear();
    for (const item of this.outbox.sent()) this.outbox.requeue(item.id);
  }

  /** 100. @param {string} id @param {number | null} seq */
  accepted(id, seq) {
    this.#landed(id);
    this.outbox.accept(id, seq);
    this.pump();
  }

  /**
   * @param {import("./protocol.js").Frame} frame  An error.
   * @returns {boolean} Whether it was about a message of ours.
   */
  refused(frame) {
    const id = this.#meant(frame);
    if (id === null) return false;
    const { code = "", reason = "", retry = false, retry_after: retryAfter } = frame.data ?? {};
    if (code === "rate_limited" || code === "unavailable" || retry === true) {
      this.#again(id, code, reason, retryAfter);
    } else {
      this.#landed(id);
      if (code === "id_conflict") this.#spoilt.add(id);
      this.outbox.fail(id, reason || "The server refused it.");
      this.pump();
    }
    return true;
  }

  /** The author wants another try. @param {string} id */
  retry(id) {
    this.outbox.retry(id, this.#spoilt.delete(id));
    this.pump();
  }

  /** @param {string} id @param {string} code @param {string} reason @param {unknown} retryAfter */
  #again(id, code, reason, retryAfter) {
    const tries = this.#flights.get(id)?.tries ?? 1;
    this.clock.clear(this.#flights.get(id)?.timer);
    this.outbox.requeue(id, reason);
    const usual = code === "rate_limited" ? RATE_PAUSE_MS : backoff(tries, this.random);
    const wait = typeof retryAfter === "number" && retryAfter >= 0 ? Math.max(retryAfter, 20) : usual;
    this.clock.clear(this.#pause);
    this.#pause = this.clock.set(() => {
      this.#pause = null;
      this.pump();
    }, wait);
  }

  /** @param {string} id */
  #unanswered(id) {
    const flight = this.#flights.get(id);
    if (flight === undefined) return;
    flight.unanswered += 1;
    if (flight.unanswered >= UNANSWERED_AT_MOST) {
      this.#landed(id);
      this.outbox.fail(id, "The server did not answer.");
    } else this.outbox.requeue(id);
    this.pump();
  }

  /**
   * The message that an error is about. A frame that the server could not read has an answer without `re`:
   * it can only be about the one message under way.
   * @param {import("./protocol.js").Frame} frame
   * @returns {string | null}
   */
  #meant(frame) {
    if (typeof frame.re === "string") return this.outbox.get(frame.re)?.stage === "sent" ? frame.re : null;
    const sent = this.outbox.sent();
    const unreadable = ["bad_frame", "too_large", "unavailable"].includes(frame.data?.code ?? "");
    return unreadable && sent.length === 1 && sent[0] !== undefined ? sent[0].id : null;
  }

  /** @param {string} id */
  #landed(id) {
    this.clock.clear(this.#flights.get(id)?.timer);
    this.#flights.delete(id);
  }
}
