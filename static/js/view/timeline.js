/**
 * The list of messages. It shows a window of the log, at most ROWS_AT_MOST messages, that moves along as
 * one scrolls; what is beyond it comes from the store, and what is beyond that from the server.
 * The window sticks to the end while one is there, and stands still under one's eyes otherwise.
 */

import { dayLabel, presenceLine, roomLine, sentence } from "../format.js";
import { outcome } from "../notes.js";
import { rowsOf } from "../rows.js";
import { LogWindow } from "../window.js";
import { arrange, byId, coalesced, copyOf, part, setText } from "./dom.js";
import { Gestures } from "./gestures.js";
import { newMessage, showMessage } from "./message.js";

/** This close to an end, more is brought, in pixels. */
const NEAR = 700;
/** This close to the bottom counts as being there. */
const AT_BOTTOM = 48;
/**
 * @typedef {import("../conversation.js").Conversation} Conversation
 * @typedef {import("../rows.js").Row} Row
 * @typedef {import("../rows.js").MessageRow} MessageRow
 * @typedef {{ element: HTMLElement, seen: string, data: unknown, row: Row }} Shown
 * @typedef {import("../window.js").Anchor} Anchor
 */

export class TimelineView {
  /** @type {Map<string, Shown>} */
  #rows = new Map();
  /** Where one was in each conversation. @type {WeakMap<Conversation, LogWindow>} */
  #windows = new WeakMap();
  /** @type {Conversation | null} */
  #shown = null;
  #window = new LogWindow();

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../outbox.js").Outbox} outbox
   * @param {object} on
   * @param {(conversation: Conversation) => Promise<void>} on.older
   * @param {(conversation: Conversation) => Promise<void>} on.newer
   * @param {() => void} on.moved
   * @param {(id: string) => void} on.retry  And what else can be done with a message, see Gestures.
   * @param {(id: string) => void} on.discard
   * @param {(row: MessageRow, beside: Element) => void} on.menu
   * @param {(row: MessageRow, emoji: string) => void} on.react
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
    for (const what of ["log", "active", "session", "unread", "rooms"]) store.addEventListener(what, update);
    outbox.addEventListener("change", update);
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#resized()).observe(this.scroller);
    this.olderButton.addEventListener("click", () => this.#older());
    for (const button of [this.newButton, this.jumpButton]) button.addEventListener("click", () => this.toEnd());
    this.gestures = new Gestures(this.list, (element) => this.#rows.get(element.dataset.key ?? "")?.row, on);
    const midnight = () => setTimeout(() => (update(), midnight()), new Date().setHours(24, 0, 1, 0) - Date.now());
    midnight();
  }

  /** Whether the newest message is in view. */
  get atEnd() {
    return this.#window.follow && this.#shown === this.store.current;
  }

  /** Goes to an entry that the store holds, and shows which it is. @param {number} seq */
  toEntry(seq) {
    this.update();
    this.#window.show(this.store.current.shown, seq);
    this.update(true);
    const element = this.list.querySelector(`[data-seq="${seq}"]`);
    if (!(element instanceof HTMLElement)) return;
    element.scrollIntoView({ block: "center" });
    for (const other of this.list.querySelectorAll("[data-sought]")) other.removeAttribute("data-sought");
    element.dataset.sought = "";
    element.focus({ preventScroll: true });
  }

  /** The newest message of this user that can be edited, among those on the screen. @returns {MessageRow | null} */
  get lastOwn() {
    for (const { row } of [...this.#rows.values()].reverse()) {
      if (row.kind !== "message" || !row.own || row.state === "failed" || row.entry.deleted === true) continue;
      if (typeof row.entry.data?.text === "string" && row.entry.id !== undefined) return row;
    }
    return null;
  }

  /** Goes to the newest message. */
  toEnd() {
    this.store.current.past = null;
    this.#window.follow = true;
    this.update();
    if (this.scroller.contains(document.activeElement) || document.activeElement === document.body) this.scroller.focus({ preventScroll: true });
  }

  /** @param {boolean} [moved]  Whether the window was moved over what was there before: nothing to be read aloud. */
  update(moved = false) {
    const { store } = this;
    if (store.me === null || this.scroller.clientHeight === 0) return;
    const conversation = store.current;
    const switched = this.#shown !== conversation;
    if (switched) this.#switch(conversation);
    if (switched || moved || conversation.joining || conversation.loading) this.#hush();
    const anchor = switched ? this.#window.anchor : this.#anchor();
    this.#window.place(conversation.shown);
    if (conversation.past !== null) this.#window.follow = false;
    const { from, to, follow } = this.#window;
    const tail = conversation.past === null && to === conversation.log.last;
    const items = this.outbox.of(conversation.dest);
    this.#render(rowsOf(conversation, { me: store.me, from, to, items, tail }), conversation);
    this.#surroundings(conversation, items.length);
    this.gestures.reachable();
    if (follow) this.scroller.scrollTop = this.scroller.scrollHeight;
    else this.#restore(anchor);
    this.#buttons();
    this.on.moved();
    this.#extend();
  }

  /** A screen reader is to hear what is said from now on, not the past. */
  #hush() {
    clearTimeout(this.#hushed);
    this.scroller.setAttribute("aria-live", "off");
    this.#hushed = setTimeout(() => this.scroller.setAttribute("aria-live", "polite"), 400);
  }

  /** @type {any} */
  #hushed = null;

  /** @param {Conversation} conversation */
  #switch(conversation) {
    this.#shown = conversation;
    this.#window = this.#windows.get(conversation) ?? new LogWindow();
    this.#windows.set(conversation, this.#window);
    this.#rows.clear();
    this.list.replaceChildren();
  }

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
    return { element, seen: "", data: /** @type {unknown} */ (undefined), row };
  }

  /** @param {Shown} known @param {Row} row @param {Conversation} conversation */
  #fill(known, row, conversation) {
    known.row = row;
    if (row.kind === "day") setText(part(known.element, "span"), dayLabel(row.time, Date.now()));
    if (row.kind === "note") setText(part(known.element, "span"), presenceLine(outcome(row.note)));
    if (row.kind === "event") setText(part(known.element, "span"), this.#eventLine(row.entry));
    if (row.kind !== "message") return;
    const { entry, state, begins, ends, item, waiting, refused } = row;
    const receipt = receiptOf(row, conversation);
    const seen = [entry.seq, entry.name, state, begins, ends, receipt, item?.reason, waiting, refused?.id, refused?.reason,
      entry.edited, entry.deleted, JSON.stringify(entry.reactions)].join("|");
    if (known.seen === seen && known.data === entry.data) return;
    known.seen = seen;
    known.data = entry.data;
    showMessage(known.element, row, receipt, this.store);
  }

  /** @param {import("../protocol.js").Entry} entry */
  #eventLine({ from, name, data }) {
    const id = typeof data?.user === "string" ? data.user : "";
    const who = from === this.store.me?.id ? "You" : name;
    return roomLine(data, who, { id, name: id === this.store.me?.id ? "you" : this.store.nameOf(id) }, from);
  }

  /** @param {Conversation} conversation @param {number} pending */
  #surroundings(conversation, pending) {
    const { shown: log, loading, loadingFailed, problem, gone } = conversation;
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
    setText(part(byId("empty"), ".empty-title"), problem === null ? "No messages yet" : gone ? "This room is gone" : "This conversation is not open to you");
    setText(byId("empty-text"), sentence(problem ?? invitation(conversation, this.store.me?.id)));
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
    if (this.#shown !== this.store.current) return;
    const { scroller } = this;
    const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    this.#window.follow = below <= AT_BOTTOM && this.#window.atTail && this.store.current.past === null;
    this.#window.anchor = this.#window.follow ? null : this.#anchor();
    this.#buttons();
    this.on.moved();
    this.#extend();
  }

  /** Brings more when one gets near an end of what is shown. */
  #extend() {
    const { scroller } = this;
    const { shown: log, past, loadingFailed } = this.store.current;
    const window = this.#window;
    if (log.size === 0) return;
    if (scroller.scrollTop < NEAR) {
      if (window.up(log)) return this.update(true);
      if (!log.atStart && !loadingFailed) void this.on.older(this.store.current);
    }
    const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    if (below < NEAR && window.down(log)) this.update(true);
    else if (below < NEAR && past !== null && !loadingFailed) void this.on.newer(this.store.current);
  }

  #older() {
    const { shown: log } = this.store.current;
    if (this.#window.up(log)) this.update(true);
    else void this.on.older(this.store.current);
  }

  #resized() {
    if (this.#shown !== this.store.current) this.update();
    else if (this.#window.follow) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #buttons() {
    const { unread } = this.store.current;
    const away = !this.#window.follow;
    this.newButton.hidden = !away || unread === 0;
    setText(byId("new-messages-text"), unread === 1 ? "1 new message" : `${unread} new messages`);
    this.jumpButton.hidden = !away || unread > 0;
  }
}

/** @param {Conversation} conversation @param {string | undefined} me */
function invitation(conversation, me) {
  if (conversation.room !== null) return "Say hello. What is said here stays, for the members who come later too.";
  if (conversation.with === null) return "Say hello. What is said here stays, for those who come later too.";
  return conversation.with === me ? "What you write here, only you can read." : "Only the two of you can read what is said here.";
}

/** @param {import("../rows.js").MessageRow} row @param {Conversation} conversation @returns {"delivered" | "read" | null} */
function receiptOf({ own, state, entry }, conversation) {
  if (!own || state !== "accepted" || conversation.with === null || entry.seq === 0) return null;
  if (entry.seq <= conversation.read) return "read";
  return entry.seq <= conversation.delivered ? "delivered" : null;
}
