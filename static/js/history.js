/**
 * Brings entries that the page does not hold: older ones when somebody scrolls up,
 * and whatever is missing between what it holds and what it knows to exist.
 */

import { history } from "./protocol.js";

/** Entries in a page of older ones. */
const PAGE = 50;
/** The server fills holes by itself; after this long the page asks. */
const HOLE_MS = 700;

/** @typedef {import("./conversation.js").Conversation} Conversation */

export class History {
  /** @type {Set<string>} */
  #filling = new Set();
  /** @type {Map<string, any>} */
  #timers = new Map();

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./requests.js").Requests} requests
   * @param {import("./clock.js").Clock} clock
   * @param {(conversation: Conversation, entries: import("./protocol.js").Entry[]) => void} arrived
   */
  constructor(store, requests, clock, arrived) {
    this.store = store;
    this.requests = requests;
    this.clock = clock;
    this.arrived = arrived;
  }

  /** Loads the page before the oldest entry that is here. @param {Conversation} conversation */
  async older(conversation) {
    const { log, dest } = conversation;
    if (conversation.loading || log.atStart || log.size === 0) return;
    const before = log.first;
    conversation.loading = true;
    conversation.loadingFailed = false;
    this.store.changed("log", dest);
    try {
      const data = await this.requests.ask((id) => history(id, dest, { before }, Math.min(PAGE, this.store.limits.history)));
      if (log.first === before) {
        log.merge(data.messages ?? []);
        if (data.more === false && log.first <= before) log.atStart = true;
      }
    } catch {
      conversation.loadingFailed = true;
    }
    conversation.loading = false;
    this.store.changed("log", dest);
  }

  /** Looks again in a moment whether something is missing, and fetches it then. @param {Conversation} conversation */
  watch(conversation) {
    const { dest } = conversation;
    if (!missing(conversation) || this.#timers.has(dest)) return;
    this.#timers.set(dest, this.clock.set(() => {
      this.#timers.delete(dest);
      if (missing(conversation)) void this.#fill(conversation);
    }, HOLE_MS));
  }

  /** @param {Conversation} conversation */
  async #fill(conversation) {
    const { log, dest } = conversation;
    if (this.#filling.has(dest)) return;
    this.#filling.add(dest);
    try {
      while (missing(conversation)) {
        const limit = this.store.limits.history;
        const until = log.hole?.before ?? log.head + 1;
        // A hole that one answer cannot fill: go on from the newest, older ones come by scrolling up.
        const bound = log.size > 0 && until - log.last <= limit ? { after: log.last } : {};
        const lastBefore = log.last;
        const data = await this.requests.ask((id) => history(id, dest, bound, limit));
        const { older, newer } = log.merge(data.messages ?? []);
        this.arrived(conversation, newer);
        if (older.length === 0 && newer.length === 0 && log.last === lastBefore) break;
      }
    } catch {
      // The next session, or the next entry, finds the hole again.
    }
    this.#filling.delete(dest);
    this.store.changed("log", dest);
  }
}

/** @param {Conversation} conversation */
const missing = ({ log, problem }) => problem === null && (log.hole !== null || log.last < log.head);
