/**
 * A search among the messages: what is looked for, where, and what was found.
 *
 * Event: `change`.
 *
 * @typedef {import("./protocol.js").Entry} Entry
 */

import { unanswerable } from "./highlight.js";
import { fileUnder, search } from "./protocol.js";

const RESULTS_AT_MOST = 100;

export class Search extends EventTarget {
  /** What was asked last, and where: null for everywhere. */
  q = "";
  /** @type {string | null} */
  dest = null;
  /** Newest first, each with the conversation as this user sees it. @type {{ dest: string, entry: Entry }[]} */
  found = [];
  /** Whether there may be more than is shown. */
  more = false;
  busy = false;
  /** Why nothing was found, as a sentence, if it is not that there is nothing. @type {string | null} */
  problem = null;
  #asked = 0;

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./requests.js").Requests} requests
   */
  constructor(store, requests) {
    super();
    this.store = store;
    this.requests = requests;
  }

  get active() {
    return this.q !== "";
  }

  /** Looks for something; an empty question ends the search. @param {string} q @param {string | null} dest */
  async ask(q, dest) {
    const asked = (this.#asked += 1);
    this.q = q.trim();
    this.dest = dest;
    this.problem = this.q === "" ? null : unanswerable(this.q);
    this.busy = this.q !== "" && this.problem === null;
    if (!this.busy) this.found = [];
    this.#changed();
    if (!this.busy) return;
    const limit = Math.min(RESULTS_AT_MOST, this.store.limits.history);
    try {
      const { messages = [] } = await this.requests.ask((id) => search(id, dest, this.q, limit));
      if (asked !== this.#asked) return;
      this.found = messages.flatMap((/** @type {Entry} */ entry) => this.#filed(entry));
      this.more = messages.length >= limit;
    } catch (error) {
      if (asked !== this.#asked) return;
      const { code, message } = /** @type {import("./requests.js").RequestError} */ (error);
      this.found = [];
      this.problem = code === "disconnected" ? "Searching needs a connection to the server." : code === "unknown_type" ? "This server cannot search." : message || "The search did not work.";
    }
    this.busy = false;
    this.#changed();
  }

  clear() {
    void this.ask("", null);
  }

  /** @param {Entry} entry @returns {{ dest: string, entry: Entry }[]} */
  #filed(entry) {
    const dest = fileUnder(entry, this.store.me?.id ?? "");
    return dest === null || !Number.isInteger(entry.seq) ? [] : [{ dest, entry }];
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }
}
