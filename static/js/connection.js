/**
 * The connection to the server: one WebSocket (or what stands in for it) after the other, each opened with `hello`.
 * It knows when to come back (docs/protocol.md "Closing"), and notices a dead network by pings of its own:
 * the pings of a WebSocket server are invisible to a page.
 *
 * Events: `status` (a Status), `ready` (the data of 1000), `frame` (any other frame),
 * `refused` (the data of the error that answered `hello`: somebody has to decide something).
 */

import * as protocol from "./protocol.js";
import { after, backoff } from "./backoff.js";
import { sign } from "./sign.js";

/**
 * @typedef {"idle" | "connecting" | "ready" | "waiting" | "stopped"} Phase
 *   idle: nobody is signed in; waiting: until `retryAt`; stopped: only a reload helps.
 *
 * @typedef {object} Status
 * @property {Phase} phase
 * @property {string} reason  Why it is not ready, as a sentence; empty when there is nothing to say.
 * @property {number | null} retryAt  Unix time in ms.
 *
 * @typedef {object} Refusal
 * @property {string} code
 * @property {string} reason
 * @property {string} [suggestion]
 *
 * @typedef {object} Socket  The part of WebSocket that is used here.
 * @property {(text: string) => void} send
 * @property {(code?: number) => void} close
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 *
 * @typedef {object} Surroundings
 * @property {() => Socket} open
 * @property {() => Parameters<typeof protocol.hello>[1]} greeting  What `hello` says, asked for each time.
 * @property {import("./clock.js").Clock} clock
 * @property {() => number} random
 */

/** To connect, and to be answered to `hello`. */
const OPENING_MS = 10_000;
/** To answer a ping; shorter when something hints at a dead network. */
const PONG_MS = 10_000;
const PROBE_MS = 4_000;
/** To close the socket after `bye`. */
const BYE_MS = 5_000;
/** A session that lasted this long was a good one: the next delays start from the beginning. */
const STABLE_MS = 10_000;

export class Connection extends EventTarget {
  /** @type {Socket | null} */
  #socket = null;
  #open = false;
  /** @type {Status} */
  #status = { phase: "idle", reason: "", retryAt: null };
  #attempt = 0;
  #helloId = "";
  /** What this session signs with, where the server looks at it. @type {string | null} */
  #key = null;
  #readySince = 0;
  /** Frames received, and when the last one was. */
  #heard = 0;
  #heardAt = 0;
  #pingMs = protocol.DEFAULT_LIMITS.ping;
  /** When the server wants us back, after `bye` or a refused `hello`. Unix time in ms. @type {number | null} */
  #backAt = null;
  /** The wait that is going on is the server's wish; only the user may cut it short. */
  #ordered = false;
  /** Until when we are over the rate limit; counts when the server closes because of it. @type {number | null} */
  #limitedUntil = null;
  /** @type {any} */
  #timer = null;
  /** @type {any} */
  #pongTimer = null;

  /** @param {Surroundings} surroundings */
  constructor(surroundings) {
    super();
    this.surroundings = surroundings;
  }

  /** @returns {Status} */
  get status() {
    return this.#status;
  }

  get ready() {
    return this.#status.phase === "ready";
  }

  /** Signs in; also again on the same socket after a refusal, which the server leaves open. */
  start() {
    if (this.#status.phase === "ready" || this.#status.phase === "connecting") return;
    this.#attempt = 0;
    this.#backAt = null;
    if (this.#socket !== null && this.#open) this.#greet();
    else this.#connect();
  }

  /** Signs out. */
  stop() {
    this.#drop();
    this.#become("idle", "");
  }

  /** Does not wait any longer for the next attempt. */
  retryNow() {
    if (this.#status.phase === "waiting") this.#connect();
  }

  /** Something hints at a change of the network: ask whether the server is still there. */
  probe() {
    if (this.ready) this.#ping(PROBE_MS);
    else if (this.#status.phase === "waiting" && !this.#ordered) this.#connect();
  }

  /**
   * @param {protocol.Frame} frame
   * @returns {boolean} Whether it was handed to a socket; not whether it arrived.
   */
  send(frame) {
    if (!this.ready || this.#socket === null) return false;
    const signs = this.#key !== null && typeof frame.type === "string";
    this.#socket.send(JSON.stringify(signs ? { ...frame, sign: sign(/** @type {string} */ (this.#key), frame) } : frame));
    return true;
  }

  #connect() {
    this.#drop();
    this.#become("connecting", this.#status.reason);
    const socket = this.surroundings.open();
    this.#socket = socket;
    socket.onopen = () => {
      this.#open = true;
      this.#greet();
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#closed(event.code);
    this.#arm(OPENING_MS, () => this.#lost("The server does not answer."));
  }

  #greet() {
    this.#become("connecting", this.#status.reason);
    this.#helloId = `hello-${protocol.newId()}`;
    this.#socket?.send(JSON.stringify(protocol.hello(this.#helloId, this.surroundings.greeting())));
    this.#arm(OPENING_MS, () => this.#lost("The server does not answer."));
  }

  /** @param {unknown} text */
  #receive(text) {
    const frame = protocol.parseFrame(text);
    if (frame === null) return;
    this.#heard += 1;
    this.#heardAt = this.surroundings.clock.now();
    if (frame.type === protocol.PING) {
      this.#socket?.send(JSON.stringify({ type: protocol.PONG }));
    } else if (frame.type === protocol.PONG) {
      return;
    } else if (frame.type === "bye") {
      this.#backAt = this.#until(frame.data?.retry_after);
      this.#arm(BYE_MS, () => this.#closed(1001));
    } else if (frame.type === protocol.READY) {
      this.#welcome(frame.data);
    } else if (frame.type === "error" && !this.ready) {
      this.#refused(frame);
    } else {
      if (frame.type === "error" && frame.data?.code === "rate_limited") this.#limitedUntil = this.#until(frame.data.retry_after);
      this.#emit("frame", frame);
    }
  }

  /** @param {protocol.Ready} data */
  #welcome(data) {
    this.#readySince = this.surroundings.clock.now();
    this.#backAt = this.#limitedUntil = null;
    const ping = data?.limits?.ping;
    this.#pingMs = Number.isFinite(ping) && ping > 0 ? ping : protocol.DEFAULT_LIMITS.ping;
    this.#key = typeof data?.key === "string" ? data.key : null;
    this.#become("ready", "");
    this.#watch();
    this.#emit("ready", data);
  }

  /** @param {protocol.Frame} frame  The error that answers `hello`. */
  #refused(frame) {
    if (this.#status.phase !== "connecting" || (frame.re !== undefined && frame.re !== this.#helloId)) return;
    const { code = "", reason = "", retry = false, retry_after: retryAfter } = frame.data ?? {};
    if (code === "rate_limited" || code === "unavailable" || retry === true) {
      this.#backAt = this.#until(retryAfter);
      this.#lost(reason || "The server is busy.");
      return;
    }
    if (code === "unauthorized") this.#drop();
    this.#disarm();
    this.#become("idle", "");
    this.#emit("refused", frame.data ?? {});
  }

  /** @param {number} code */
  #closed(code) {
    const { advice, reason } = protocol.closeAdvice(code);
    const phase = this.#status.phase;
    this.#drop();
    if (phase === "idle") return;
    if (advice === "never") {
      this.#become("stopped", reason);
    } else if (advice === "sign-in") {
      this.#become("idle", "");
      this.#emit("refused", { code: "unauthorized", reason });
    } else {
      if (code === 4429) this.#backAt = this.#limitedUntil;
      this.#lost(code === 1006 && this.#attempt > 0 ? "The server cannot be reached." : reason);
    }
  }

  /** Tries again later. @param {string} reason */
  #lost(reason) {
    const { clock, random } = this.surroundings;
    if (this.ready && clock.now() - this.#readySince >= STABLE_MS) this.#attempt = 0;
    this.#drop();
    let wait = backoff(this.#attempt, random);
    this.#ordered = this.#backAt !== null && this.#backAt > clock.now();
    if (this.#ordered && this.#backAt !== null) wait = after(this.#backAt - clock.now(), random);
    this.#backAt = null;
    this.#attempt += 1;
    this.#become("waiting", reason, clock.now() + wait);
    this.#arm(wait, () => this.#connect());
  }

  /** @param {unknown} ms  What the server wrote. @returns {number | null} */
  #until(ms) {
    return typeof ms === "number" && Number.isFinite(ms) ? this.surroundings.clock.now() + ms : null;
  }

  /** Asks the server for a sign of life whenever it has been silent for its own ping interval. */
  #watch() {
    const silent = this.surroundings.clock.now() - this.#heardAt;
    if (silent >= this.#pingMs) this.#ping(PONG_MS);
    this.#arm(silent >= this.#pingMs ? this.#pingMs : this.#pingMs - silent, () => this.#watch());
  }

  /** @param {number} patience  Milliseconds until the connection counts as dead; any frame proves it alive. */
  #ping(patience) {
    if (this.#pongTimer !== null || !this.send({ type: protocol.PING })) return;
    const heardBefore = this.#heard;
    this.#pongTimer = this.surroundings.clock.set(() => {
      this.#pongTimer = null;
      if (this.#heard === heardBefore) this.#lost("The network does not answer.");
    }, patience);
  }

  /** Forgets the socket at once: closing a dead one properly may take minutes. */
  #drop() {
    this.#disarm();
    const socket = this.#socket;
    this.#socket = null;
    this.#open = false;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      socket.close(1000);
    } catch {
      // It was never open.
    }
  }

  /** @param {number} ms @param {() => void} run */
  #arm(ms, run) {
    this.surroundings.clock.clear(this.#timer);
    this.#timer = this.surroundings.clock.set(run, ms);
  }

  #disarm() {
    this.surroundings.clock.clear(this.#timer);
    this.surroundings.clock.clear(this.#pongTimer);
    this.#timer = this.#pongTimer = null;
  }

  /** @param {Phase} phase @param {string} reason @param {number | null} [retryAt] */
  #become(phase, reason, retryAt = null) {
    this.#status = { phase, reason, retryAt };
    this.#emit("status", this.#status);
  }

  /** @param {string} type @param {any} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
