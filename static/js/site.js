/**
 * The site that shows this page in a frame, where the server lets in only whom that site vouches for
 * (docs/protocol.md "The page in a site of yours"): the page asks it for a token, and it gives one.
 *
 * Tokens stay in memory, and what comes from anywhere but the frame's parent, under an origin that the server has
 * named, is not looked at.
 *
 * Events: `token` (a text, or null when nobody is signed in there any more), `silent` (nothing has come for a while;
 * it is still being asked).
 *
 * @typedef {"start" | "expires" | "refused"} Reason  Why a token is wanted.
 *
 * @typedef {object} Around
 * @property {{ postMessage: (message: any, origin: string) => void } | null} parent  The window around this one, if there is one.
 * @property {string[]} origins  Of the sites that may give tokens.
 * @property {(hear: (event: { source: any, origin: string, data: any }) => void) => void} listen  To messages of other windows.
 * @property {import("./clock.js").Clock} clock
 */

/** Between two questions, at first and later: a site may still be loading, or have lost its own server. */
const AGAIN_MS = 1_000;
const AGAIN_AT_MOST_MS = 30_000;
/** After this long a person wants to know. */
const SILENT_MS = 8_000;

export const WANTED = "mqttchat.token-wanted";
export const TOKEN = "mqttchat.token";

export class Site extends EventTarget {
  /** The newest that it gave. @type {string | null} */
  token = null;
  /** @type {any} */
  #timer = null;
  /** @type {any} */
  #silence = null;

  /** @param {Around} around */
  constructor(around) {
    super();
    this.around = around;
    if (around.parent !== null) around.listen((event) => this.#hear(event));
  }

  /** Whether there is a site around this page at all. */
  get there() {
    return this.around.parent !== null;
  }

  /**
   * Asks for a token, and again until there is a new one.
   * @param {Reason} reason
   * @param {number} [after]  Milliseconds until the first question.
   */
  ask(reason, after = 0) {
    this.#stop();
    if (!this.there) return;
    const { clock } = this.around;
    const again = (/** @type {number} */ pause) => {
      // It says nothing that others might not hear: who is around isn't known before the answer.
      this.around.parent?.postMessage({ type: WANTED, reason }, "*");
      this.#timer = clock.set(() => again(Math.min(pause * 2, AGAIN_AT_MOST_MS)), pause);
    };
    this.#silence = clock.set(() => this.dispatchEvent(new CustomEvent("silent")), after + SILENT_MS);
    if (after > 0) this.#timer = clock.set(() => again(AGAIN_MS), after);
    else again(AGAIN_MS);
  }

  /** @param {{ source: any, origin: string, data: any }} event */
  #hear({ source, origin, data }) {
    if (source !== this.around.parent || !this.around.origins.includes(origin)) return;
    if (data === null || typeof data !== "object" || data.type !== TOKEN) return;
    const token = typeof data.token === "string" && data.token !== "" ? data.token : null;
    // The one that there is says nothing new: a fresh one is still wanted.
    if (token !== null && token === this.token) return;
    this.#stop();
    this.token = token;
    this.dispatchEvent(new CustomEvent("token", { detail: token }));
  }

  #stop() {
    this.around.clock.clear(this.#timer);
    this.around.clock.clear(this.#silence);
  }
}
