/**
 * Questions to the server that get one answer each: frames with an `id`, answered by `re`.
 * A question dies with its connection; whoever asked asks again on the next one.
 */

import { newId } from "./protocol.js";

const PATIENCE_MS = 20_000;
const PAUSE_MS = 2_000;
const TRIES = 5;

export class RequestError extends Error {
  /** @param {string} code @param {string} reason */
  constructor(code, reason) {
    super(reason);
    this.code = code;
  }
}

export class Requests {
  /** @type {Map<string, { resolve: (data: any) => void, reject: (error: RequestError & { retryAfter?: number, retry?: boolean }) => void, timer: any }>} */
  #open = new Map();

  /**
   * @param {(frame: import("./protocol.js").Frame) => boolean} send
   * @param {import("./clock.js").Clock} clock
   */
  constructor(send, clock) {
    this.send = send;
    this.clock = clock;
  }

  /**
   * Asks, and asks again while the server says that it is only busy.
   * @param {(id: string) => import("./protocol.js").Frame} make
   * @returns {Promise<any>} The reply's data. @throws {RequestError}
   */
  ask(make) {
    return this.#patiently(() => make(newId()));
  }

  /**
   * As `ask`, for what changes something: under one id all the time, so that it is done once.
   * @param {(id: string) => import("./protocol.js").Frame} make
   * @returns {Promise<any>} The reply's data. @throws {RequestError}
   */
  command(make) {
    const frame = make(newId());
    return this.#patiently(() => frame);
  }

  /** @param {() => import("./protocol.js").Frame} next @returns {Promise<any>} */
  async #patiently(next) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#once(next());
      } catch (error) {
        const { code, retry, retryAfter } = /** @type {any} */ (error);
        const busy = code === "rate_limited" || code === "unavailable" || (retry === true && code !== "disconnected");
        if (!busy || tries >= TRIES) throw error;
        const pause = Number.isFinite(retryAfter) ? Math.max(50, retryAfter) : PAUSE_MS;
        await new Promise((resolve) => this.clock.set(() => resolve(undefined), pause));
      }
    }
  }

  /**
   * @param {import("./protocol.js").Frame} frame
   * @returns {boolean} Whether this was the answer to something asked here.
   */
  answer(frame) {
    const asked = typeof frame.re === "string" ? this.#open.get(frame.re) : undefined;
    if (asked === undefined) return false;
    this.#open.delete(frame.re);
    this.clock.clear(asked.timer);
    if (frame.type === "error") {
      const { code = "", reason = "", retry = false, retry_after: retryAfter } = frame.data ?? {};
      asked.reject(Object.assign(new RequestError(code, reason), { retry, retryAfter }));
    } else asked.resolve(frame.data ?? {});
    return true;
  }

  /** The connection is gone, and every answer with it. */
  disconnected() {
    const lost = [...this.#open.values()];
    this.#open.clear();
    for (const asked of lost) {
      this.clock.clear(asked.timer);
      asked.reject(new RequestError("disconnected", "The connection was lost."));
    }
  }

  /** @param {import("./protocol.js").Frame} frame @returns {Promise<any>} */
  #once(frame) {
    return new Promise((resolve, reject) => {
      if (!this.send(frame)) {
        reject(new RequestError("disconnected", "There is no connection."));
        return;
      }
      const timer = this.clock.set(() => {
        this.#open.delete(frame.id);
        reject(new RequestError("timeout", "The server did not answer."));
      }, PATIENCE_MS);
      this.#open.set(frame.id, { resolve, reject, timer });
    });
  }
}
