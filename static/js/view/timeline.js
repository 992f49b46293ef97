/**
 * The list of messages. It shows a window of the log, at most ROWS_AT_MOST messages, that moves along as
 * one scrolls; what is beyond it comes from the store, and what is beyond that from the server.
 * The window sticks to the end while one is there, and stands still under one's eyes otherwise.
 */

import { dayLabel, presenceLine } from "../format.js";
import { outcome } from "../notes.js";
import { rowsOf } from "../rows.js";
import { arrange, byId, coalesced, copyOf, part, setText } from "./dom.js";
import { newMessage, showMessage } from "./message.js";

const ROWS_AT_MOST = 400;
const FIRST_ROWS = 60;
const STEP = 60;
/** This close to an end, more is brought, in pixels. */
const NEAR = 700;
/** This close to the bottom counts as being there. */
const AT_BOTTOM = 48;
/** Entries kept in memory while one is at the end. */
const KEEP = 1000;

/**
 * @typedef {import("../conversation.js").Conversation} Conversation
 * @typedef {import("../rows.js").Row} Row
 * @typedef {{ from: number, to: number, follow: boolean, anchor: Anchor | null }} Window  First and last seq shown.
 * @typedef {{ key: string, offset: number }} Anchor  A row and where it stood in the view.
 */

export class TimelineView {
  /** @type {Map<string, { element: HTMLElement, seen: string, data: unknown }>} */
  #rows = new Map();
  /** Where one was in each conversation. @type {Map<string, Window>} */
  #windows = new Map();
  #dest = "";
  /** @type {Window} */
  #window = { from: 0, to: 0, follow: true, anchor: null };

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../outbox.js").Outbox} outbox
   * @param {{ older: (conversation: Conversation) => Promise<void>, retry: (id: string) => void, discard: (id: string) => void, moved: () => void }} on
   */
  constructor(store, outbox, on) {
    this.store = store;
    this.outbox = outbox;
    this.on = on;
    this.scroller = byId("timeline");
    this.list = byId("messages");
    this.olderButton = /** @type {HTMLButtonElement} */ (byId("load-older"));
    this.newButton = byId("new-messages");
    this.jumpButton = byId("jump-latest");
    const update = coalesced(() => this.update());
    for (const what of ["log", "active", "session", "unread"]) store.addEventListener(what, update);
    outbox.addEventListener("change", update);
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(this.scroller);
    this.olderButton.addEventListener("click", () => this.#older());
    for (const button of [this.newButton, this.jumpButton]) button.addEventListener("click", () => this.toEnd());
    this.list.addEventListener("click", (event) => this.#clicked(/** @type {Element} */ (event.target)));
    const midnight = () => setTimeout(() => (update(), midnight()), new Date().setHours(24, 0, 1, 0) - Date.now());
    midnight();
  }

  /** Whether the newest message is in view. */
  get atEnd() {
    return this.#window.follow && this.#dest === this.store.active;
  }

  /** Goes to the newest message. */
  toEnd() {
    this.#window.follow = true;
    this.update();
    if (this.scroller.contains(document.activeElement) || document.activeElement === document.body) this.scroller.focus({ preventScroll: true });
  }

  update() {
    const { store } = this;
    if (store.me === null || this.scroller.clientHeight === 0) return;
    const conversation = store.current;
    const switched = this.#dest !== conversation.dest;
    if (switched) this.#switch(conversation.dest);
    const anchor = switched ? this.#window.anchor : this.#anchor();
    this.#place(conversation);
    const { from, to, follow } = this.#window;
    const pending = to === conversation.log.last ? this.outbox.of(conversation.dest) : [];
    this.#render(rowsOf(conversation, { me: store.me, from, to, pending }), conversation);
    this.#surroundings(conversation, pending.length);
    if (follow) this.scroller.scrollTop = this.scroller.scrollHeight;
    else this.#restore(anchor);
    this.#buttons();
    this.on.moved();
    this.#extend();
  }

  /** @param {string} dest */
  #switch(dest) {
    this.#windows.set(this.#dest, this.#window);
    this.#window = this.#windows.get(dest) ?? { from: 0, to: 0, follow: true, anchor: null };
    this.#dest = dest;
    this.#rows.clear();
    this.list.replaceChildren();
  }

  /** Fits the window to what the log holds now. @param {Conversation} conversation */
  #place({ log }) {
    const window = this.#window;
    if (log.size === 0) {
      window.from = window.to = 0;
      window.follow = true;
      return;
    }
    if (window.follow && log.size > 2 * KEEP) log.trim(KEEP);
    const lost = window.to === 0 || window.to < log.first || window.from > log.last;
    if (lost) {
      window.follow = true;
      window.from = log.last - FIRST_ROWS + 1;
    }
    if (window.follow) {
      if (window.to < log.last - ROWS_AT_MOST) window.from = log.last - FIRST_ROWS + 1;
      window.to = log.last;
      window.from = Math.max(window.from, window.to - ROWS_AT_MOST + 1);
    } else if (window.to >= this.#knownLast) {
      window.to = Math.min(log.last, window.from + ROWS_AT_MOST - 1);
    }
    window.from = Math.max(window.from, log.first);
    this.#knownLast = log.last;
  }

  /** The newest entry at the last look: the window grows with the log only if it ended there. */
  #knownLast = 0;

  /** @param {Row[]} rows @param {Conversation} conversation */
  #render(rows, conversation) {
    const before = this.#rows;
    this.#rows = new Map();
    for (const row of rows) {
      const known = before.get(row.key) ?? this.#make(row);
      this.#fill(known, row, conversation);
      this.#rows.set(row.key, known);
    }
    arrange(this.list, [...this.#rows.values()].map(({ element }) => element));
  }

  /** @param {Row} row */
  #make(row) {
    const element = row.kind === "message" ? newMessage() : copyOf(`${row.kind}-template`);
    element.dataset.key = row.key;
    return { element, seen: "", data: /** @type {unknown} */ (undefined) };
  }

  /** @param {{ element: HTMLElement, seen: string, data: unknown }} known @param {Row} row @param {Conversation} conversation */
  #fill(known, row, conversation) {
    if (row.kind === "day") setText(part(known.element, "span"), dayLabel(row.time, Date.now()));
    if (row.kind === "note") setText(part(known.element, "span"), presenceLine(outcome(row.note)));
    if (row.kind !== "message") return;
    const { entry, state, begins, ends, item } = row;
    const receipt = receiptOf(row, conversation);
    const seen = [entry.seq, entry.name, state, begins, ends, receipt, item?.reason, entry.edited, entry.deleted, JSON.stringify(entry.reactions)].join("|");
    if (known.seen === seen && known.data === entry.data) return;
    known.seen = seen;
    known.data = entry.data;
    showMessage(known.element, row, receipt);
  }

  /** @param {Conversation} conversation @param {number} pending */
  #surroundings(conversation, pending) {
    const { log, loading, loadingFailed, problem } = conversation;
    const more = log.size > 0 && !(log.atStart && this.#window.from <= log.first);
    this.olderButton.hidden = !more;
    this.olderButton.disabled = loading;
    setText(this.olderButton, loading ? "Loading older messages…" : loadingFailed ? "That did not work. Try again" : "Load older messages");
    this.scroller.setAttribute("aria-busy", String(loading));
    const start = byId("timeline-start");
    start.hidden = more || log.size === 0;
    setText(start, "This is where the conversation begins.");
    const empty = log.size === 0 && pending === 0 && (log.atStart || problem !== null);
    byId("empty").hidden = !empty;
    setText(part(byId("empty"), ".empty-title"), problem === null ? "No messages yet" : "This conversation is not open to you");
    setText(byId("empty-text"), problem ?? "Say hello. Everything that is said here stays for those who come later.");
  }

  /** The first row in view, and where it stands. @returns {Anchor | null} */
  #anchor() {
    const top = this.scroller.scrollTop;
    const children = /** @type {HTMLCollectionOf<HTMLElement>} */ (this.list.children);
    let low = 0;
    let high = children.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const child = children[middle];
      if (child !== undefined && child.offsetTop + child.offsetHeight > top) high = middle;
      else low = middle + 1;
    }
    // A day or a mark may move when older messages come before it; a message stays what it is.
    for (let i = low; i < children.length; i += 1) {
      const child = children[i];
      if (child?.dataset.key !== undefined && child.classList.contains("message")) {
        return { key: child.dataset.key, offset: child.offsetTop - top };
      }
    }
    return null;
  }

  /** @param {Anchor | null} anchor */
  #restore(anchor) {
    const element = anchor === null ? undefined : this.#rows.get(anchor.key)?.element;
    if (element !== undefined && anchor !== null) this.scroller.scrollTop = element.offsetTop - anchor.offset;
  }

  #scrolled() {
    if (this.#dest !== this.store.active) return;
    const { log } = this.store.current;
    const { scroller } = this;
    const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    this.#window.follow = below <= AT_BOTTOM && this.#window.to >= log.last;
    this.#window.anchor = this.#window.follow ? null : this.#anchor();
    this.#buttons();
    this.on.moved();
    this.#extend();
  }

  /** Brings more when one gets near an end of what is shown. */
  #extend() {
    const { scroller } = this;
    const { log, loadingFailed } = this.store.current;
    const window = this.#window;
    if (log.size === 0) return;
    if (scroller.scrollTop < NEAR) {
      if (window.from > log.first) {
        const count = Math.min(STEP, window.from - log.first);
        window.from -= count;
        const to = Math.min(window.to, window.from + ROWS_AT_MOST - 1);
        if (to < window.to) window.follow = false;
        window.to = to;
        this.update();
        return;
      }
      if (!log.atStart && !loadingFailed) void this.on.older(this.store.current);
    }
    const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    if (below < NEAR && window.to < log.last) {
      window.to = Math.min(log.last, window.to + STEP);
      window.from = Math.max(window.from, window.to - ROWS_AT_MOST + 1);
      this.update();
    }
  }

  #older() {
    const { log } = this.store.current;
    if (this.#window.from > log.first) {
      this.#window.from = Math.max(log.first, this.#window.from - STEP);
      this.update();
    } else void this.on.older(this.store.current);
  }

  #resized() {
    if (this.#dest === "") this.update();
    else if (this.#window.follow) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #buttons() {
    const { unread } = this.store.current;
    const away = !this.#window.follow;
    this.newButton.hidden = !away || unread === 0;
    setText(byId("new-messages-text"), unread === 1 ? "1 new message" : `${unread} new messages`);
    this.jumpButton.hidden = !away || unread > 0;
  }

  /** @param {Element} target */
  #clicked(target) {
    const id = target.closest("[data-testid=message]")?.getAttribute("data-id");
    if (!id) return;
    if (target.closest(".retry")) this.on.retry(id);
    if (target.closest(".discard")) this.on.discard(id);
  }
}

/** @param {import("../rows.js").MessageRow} row @param {Conversation} conversation @returns {"delivered" | "read" | null} */
function receiptOf({ own, state, entry }, conversation) {
  if (!own || state !== "accepted" || conversation.with === null || entry.seq === 0) return null;
  if (entry.seq <= conversation.read) return "read";
  return entry.seq <= conversation.delivered ? "delivered" : null;
}
