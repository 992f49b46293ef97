/**
 * Brings entries that the page does not hold: older ones when somebody scrolls up, those around a message
 * that was searched for, and whatever is missing between what it holds and what it knows to exist.
 */

import { Log } from "./log.js";
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

  /** Loads the page before the oldest entry that is shown. @param {Conversation} conversation */
  async older(conversation) {
    const log = conversation.shown;
    if (conversation.loading || log.atStart || log.size === 0) return;
    const before = log.first;
    await this.#page(conversation, { before }, (data) => {
      if (log.first !== before) return;
      log.merge(data.messages ?? []);
      if (data.more === false && log.first <= before) log.atStart = true;
    });
  }

  /** Loads the page after the newest entry that is shown of the past. @param {Conversation} conversation */
  async newer(conversation) {
    const { past } = conversation;
    if (conversation.loading || past === null) return;
    const after = past.last;
    await this.#page(conversation, { after }, (data) => {
      if (conversation.past !== past || past.last !== after) return;
      past.merge(data.messages ?? []);
      conversation.meet();
      // Nothing came, though there is more: the log has been cut meanwhile. The newest is what there is.
      if (conversation.past === past && past.last === after) conversation.past = null;
    });
  }

  /**
   * Shows the part of the log around an entry that may be far above what is here.
   * @param {Conversation} conversation @param {number} seq
   * @returns {Promise<boolean>} Whether the entry is there now.
   */
  async around(conversation, seq) {
    if (conversation.log.at(seq) !== undefined) {
      conversation.past = null;
      return true;
    }
    if (conversation.past?.at(seq) !== undefined) return true;
    const { dest, log } = conversation;
    const limit = Math.min(PAGE, this.store.limits.history);
    const [before, after] = await Promise.all([
      this.requests.ask((id) => history(id, dest, { before: seq + 1 }, limit)),
      this.requests.ask((id) => history(id, dest, { after: seq }, limit)),
    ]);
    const past = new Log();
    past.merge(before.messages ?? []);
    if (past.last !== seq) return false;
    past.merge(after.messages ?? []);
    if (before.more === false) past.atStart = true;
    conversation.past = past;
    if (log.size > 0) conversation.meet();
    return true;
  }

  /**
   * @param {Conversation} conversation
   * @param {{ before: number } | { after: number }} bound
   * @param {(data: any) => void} take
   */
  async #page(conversation, bound, take) {
    const { dest } = conversation;
    conversation.loading = true;
    conversation.loadingFailed = false;
    this.store.changed("log", dest);
    try {
      take(await this.requests.ask((id) => history(id, dest, bound, Math.min(PAGE, this.store.limits.history))));
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
