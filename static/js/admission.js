/**
 * Being let in by tokens of the site around the page: signs in with the first, shows the server a fresh one before the
 * one in use ends, and comes back with another when the session was closed for it (docs/protocol.md "Users of an
 * application"). What was being written, sent and read goes on meanwhile.
 *
 * Events: `asked` (why nobody is signed in, as a sentence; `""` while the answer is on its way), `out` (the site has
 * signed its user out).
 */

import * as protocol from "./protocol.js";

/** A fresh token is asked for this long before the end of the one in use; earlier where tokens are short. */
const LEAD_MS = 60_000;
/** Where this device's clock says that a token which was just taken has ended, the clock is wrong. */
const UNKNOWN_MS = 30_000;
/** Between two tokens that the server doesn't take. */
const PAUSE_MS = 2_000;
const PAUSE_AT_MOST_MS = 60_000;

export class Admission extends EventTarget {
  /** @type {any} */
  #timer = null;
  /** Tokens that were refused one after the other. */
  #refused = 0;
  /** Whose the session is, or was. @type {string | null} */
  #whose = null;
  /** The token of the last `hello`. @type {string | null} */
  #shown = null;

  /**
   * @param {object} parts
   * @param {import("./site.js").Site} parts.site
   * @param {import("./connection.js").Connection} parts.connection
   * @param {import("./requests.js").Requests} parts.requests
   * @param {import("./clock.js").Clock} parts.clock
   * @param {() => void} parts.leave  Ends the session, and forgets whose it was.
   */
  constructor({ site, connection, requests, clock, leave }) {
    super();
    this.site = site;
    this.connection = connection;
    this.requests = requests;
    this.clock = clock;
    this.leave = leave;
    site.addEventListener("token", (event) => this.#given(/** @type {CustomEvent} */ (event).detail));
    connection.addEventListener("ready", (event) => this.#ready(/** @type {CustomEvent} */ (event).detail.expires));
    connection.addEventListener("refused", (event) => this.#notLetIn(/** @type {CustomEvent} */ (event).detail));
  }

  /** Asks the site who is there. */
  start() {
    this.#say("");
    this.site.ask("start");
  }

  /** @param {string | null} token */
  #given(token) {
    if (token === null) {
      this.#disarm();
      this.leave();
      this.dispatchEvent(new CustomEvent("out"));
    } else if (this.connection.ready && subject(token) === this.#whose) {
      void this.#renew(token);
    } else {
      if (this.#whose !== null && subject(token) !== this.#whose) this.leave();
      this.#signIn(token);
    }
  }

  /** For `hello`: the newest token there is. */
  get token() {
    this.#shown = this.site.token;
    return this.#shown;
  }

  /** @param {string} token */
  #signIn(token) {
    this.#disarm();
    this.#whose = subject(token);
    this.#say("");
    if (this.connection.ready) this.connection.stop();
    // A connection that is on its way by itself has its own time; its `hello` says what is newest then.
    if (this.connection.status.phase === "idle") this.connection.start();
  }

  /** Shows it in the session that there is; a new one with it, where it is not for that. @param {string} token */
  async #renew(token) {
    try {
      const { expires } = await this.requests.ask((id) => protocol.token(id, token));
      this.#ready(expires);
    } catch (error) {
      const { code } = /** @type {import("./requests.js").RequestError} */ (error);
      // Otherwise the next `hello` has it.
      if (code === "unauthorized" && this.site.token === token && this.connection.ready) this.#signIn(token);
    }
  }

  /** @param {unknown} expires  Unix time in ms. */
  #ready(expires) {
    this.#refused = 0;
    this.#disarm();
    if (typeof expires !== "number" || !Number.isFinite(expires)) return;
    const left = expires - this.clock.now();
    const lasts = left > 0 ? left : UNKNOWN_MS;
    // No timer is longer than 2^31 ms.
    const wait = Math.min(lasts - Math.min(LEAD_MS, lasts / 3), 0x7fff_ffff);
    this.#timer = this.clock.set(() => this.site.ask("expires"), wait);
  }

  /** @param {import("./connection.js").Refusal} refusal */
  #notLetIn({ code, reason }) {
    this.#disarm();
    if (this.site.token !== null && this.site.token !== this.#shown) {
      // It has given another meanwhile.
      this.connection.start();
      return;
    }
    // The first may have ended on its way, or while the device slept: that is nothing to tell.
    if (this.#refused > 0 || code !== "unauthorized") this.#say(reason || "The server did not let you in.");
    const pause = this.#refused === 0 ? 0 : Math.min(PAUSE_MS * 2 ** (this.#refused - 1), PAUSE_AT_MOST_MS);
    this.#refused += 1;
    this.site.ask("refused", pause);
  }

  #disarm() {
    this.clock.clear(this.#timer);
    this.#timer = null;
  }

  /** @param {string} reason */
  #say(reason) {
    this.dispatchEvent(new CustomEvent("asked", { detail: reason }));
  }
}

/**
 * Whose a token says that it is, to see whether the next one is of somebody else; the server decides what is true.
 * @param {string} token
 * @returns {string}
 */
export function subject(token) {
  try {
    const claims = JSON.parse(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")));
    return JSON.stringify([claims.iss ?? null, claims.sub ?? null]);
  } catch {
    return "";
  }
}
