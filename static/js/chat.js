/**
 * The chat between connection and store: what each frame does to the state,
 * and what each gesture of the user says to the server.
 */

import * as protocol from "./protocol.js";
import { History } from "./history.js";
import { Receipts } from "./receipts.js";
import { Requests } from "./requests.js";
import { Sender } from "./sender.js";
import { OwnTyping } from "./typing.js";

/**
 * @typedef {import("./conversation.js").Conversation} Conversation
 * @typedef {import("./protocol.js").Entry} Entry
 * @typedef {import("./protocol.js").Frame} Frame
 */

/** Messages to begin with. */
const FIRST_PAGE = 50;
const ROSTER_PAGE = 200;
const CONVERSATION_PAGES = 5;
/** Entries kept of a conversation that nobody is scrolling in. */
const KEEP = 1000;

export class Chat {
  /** True from 1000 until the first answer after it: what comes now is counted in the server's `unread`. */
  #catchingUp = false;

  /**
   * @param {object} parts
   * @param {import("./connection.js").Connection} parts.connection
   * @param {import("./store.js").Store} parts.store
   * @param {import("./outbox.js").Outbox} parts.outbox
   * @param {import("./clock.js").Clock} parts.clock
   * @param {() => number} parts.random
   */
  constructor({ connection, store, outbox, clock, random }) {
    this.connection = connection;
    this.store = store;
    this.outbox = outbox;
    this.clock = clock;
    const send = (/** @type {Frame} */ frame) => connection.send(frame);
    this.requests = new Requests(send, clock);
    this.sender = new Sender(outbox, send, clock, random);
    this.history = new History(store, this.requests, clock, (conversation, entries) => this.#arrived(conversation, entries));
    this.receipts = new Receipts(send, clock);
    this.ownTyping = new OwnTyping((dest, typing) => {
      if (store.conversations.get(dest)?.joined) send(protocol.typing(dest, typing));
    }, clock);
    connection.addEventListener("ready", (event) => this.#ready(/** @type {CustomEvent} */ (event).detail));
    connection.addEventListener("frame", (event) => this.#frame(/** @type {CustomEvent} */ (event).detail));
    connection.addEventListener("status", () => {
      if (!connection.ready) this.#disconnected();
    });
  }

  /** For `hello`: where each conversation goes on, those in use first, as many as the server takes. */
  resume() {
    const known = [...this.store.conversations.values()].filter(({ log, problem }) => log.last > 0 && problem === null);
    known.sort((a, b) => Number(b.isPublic) - Number(a.isPublic) || b.lastTime - a.lastTime);
    return Object.fromEntries(known.slice(0, this.store.limits.resume).map(({ dest, log }) => [dest, log.last]));
  }

  /** @param {string} dest @param {string} text */
  say(dest, text) {
    this.ownTyping.stop();
    this.outbox.add(dest, { text: protocol.wellFormed(text) }, this.clock.now());
    const conversation = this.store.conversation(dest);
    conversation.unreadFrom = null;
    this.sender.pump();
  }

  /** @param {string} id */
  retry(id) {
    this.sender.retry(id);
  }

  /** @param {string} id */
  discard(id) {
    this.outbox.settle(id);
    this.sender.pump();
  }

  /** Brings a conversation to the screen. @param {string} dest */
  open(dest) {
    this.ownTyping.stop();
    this.store.activate(dest);
    void this.#join(this.store.conversation(dest), FIRST_PAGE);
  }

  /** The newest message of the active conversation is being looked at. */
  seen() {
    const conversation = this.store.current;
    if (conversation.unread > 0) {
      conversation.unread = 0;
      this.store.changed("unread", conversation.dest);
    }
    this.receipts.seen(conversation);
  }

  /** Reads the next page of a roster. @param {Conversation} conversation */
  async moreRoster(conversation) {
    const { roster, dest } = conversation;
    try {
      const data = await this.requests.ask((id) => protocol.roster(id, dest, roster.cursor, ROSTER_PAGE));
      roster.page(data.roster ?? [], data.more === true);
      this.store.changed("roster", dest);
    } catch {
      // The button stays; another try is a click away.
    }
  }

  /** Says good-bye, so that the others see it at once. */
  leave() {
    for (const conversation of this.store.conversations.values()) {
      if (conversation.joined) this.connection.send(protocol.leave(protocol.newId(), conversation.dest));
    }
    this.connection.stop();
    this.store.clear();
  }

  /** @param {protocol.Ready} data */
  #ready(data) {
    const { store } = this;
    if (store.me !== null && store.me.id !== data.user.id) store.clear();
    store.me = data.user;
    store.limits = { ...protocol.DEFAULT_LIMITS, ...data.limits };
    if (store.logId !== data.log) {
      for (const conversation of store.conversations.values()) {
        conversation.reset();
        this.outbox.settleUpTo(conversation.dest, Infinity);
        store.changed("log", conversation.dest);
      }
    }
    store.logId = data.log;
    this.#catchingUp = true;
    for (const [dest, count] of Object.entries(data.unread ?? {})) {
      if (!store.watched(dest)) store.conversation(dest).unread = count;
      store.changed("unread", dest);
    }
    store.changed("session");
    this.outbox.open(data.user.id);
    for (const item of this.outbox.all()) store.conversation(item.dest);
    this.receipts.connected(store.conversations.values());
    void this.#rejoin();
    this.sender.connected();
  }

  async #rejoin() {
    const { store } = this;
    const open = [...store.conversations.values()].filter((one) => one.isPublic || one.dest === store.active || one.wanted);
    await Promise.all(open.map((one) => this.#join(one, one.log.last > 0 ? 0 : FIRST_PAGE)));
    this.#catchingUp = false;
    await this.#listConversations();
  }

  /** @param {Conversation} conversation @param {number} count  Messages to begin with. */
  async #join(conversation, count) {
    const { dest, log } = conversation;
    if (conversation.joined || conversation.joining || !this.connection.ready) return;
    conversation.joining = conversation.wanted = true;
    try {
      const data = await this.requests.ask((id) => protocol.join(id, dest, Math.min(count, this.store.limits.history)));
      conversation.joined = true;
      conversation.problem = null;
      log.head = Math.max(log.head, data.head ?? 0);
      if (log.head === 0) log.atStart = true;
      const { newer } = log.merge(data.messages ?? []);
      conversation.delivered = Math.max(conversation.delivered, data.delivered ?? 0, data.read ?? 0);
      conversation.read = Math.max(conversation.read, data.read ?? 0);
      if (Array.isArray(data.roster)) conversation.roster.begin(data.roster, data.online ?? data.roster.length);
      this.#filed(conversation, newer, false);
      this.store.changed("roster", dest);
    } catch (error) {
      const { code, message } = /** @type {import("./requests.js").RequestError} */ (error);
      if (code !== "disconnected" && code !== "timeout") conversation.problem = message || "This conversation cannot be opened.";
      this.store.changed("log", dest);
    }
    conversation.joining = false;
  }

  /** Conversations that this page has not met yet. A server without this question leaves the list as it is. */
  async #listConversations() {
    try {
      /** @type {string | null} */
      let after = null;
      for (let page = 0; page < CONVERSATION_PAGES; page += 1) {
        const data = await this.requests.ask((id) => protocol.conversations(id, after, this.store.limits.history));
        for (const summary of data.conversations ?? []) this.#listed(summary);
        after = data.conversations?.at(-1)?.dest ?? null;
        if (data.more !== true || after === null) break;
      }
    } catch {
      // Nothing is lost by it: messages bring their conversations along.
    }
  }

  /** @param {any} summary  `{dest, title, head, read, delivered, last}` */
  #listed(summary) {
    if (typeof summary?.dest !== "string") return;
    const conversation = this.store.conversation(summary.dest);
    if (typeof summary.title === "string" && summary.title !== "") conversation.title = summary.title;
    if (typeof summary.last === "object") conversation.lastListed = summary.last;
    this.store.changed("conversations", summary.dest);
  }

  #disconnected() {
    this.#catchingUp = false;
    for (const conversation of this.store.conversations.values()) {
      conversation.joined = false;
      conversation.typing.clear();
    }
    this.requests.disconnected();
    this.sender.disconnected();
  }

  /** @param {Frame} frame */
  #frame(frame) {
    const me = this.store.me;
    if (me === null) return;
    if (frame.type === protocol.ACCEPTED) return this.#accepted(frame);
    if (frame.type === "reply") return void this.requests.answer(frame);
    if (frame.type === "error") return this.#error(frame);
    if (frame.type === "status") return this.#status(frame);
    const from = frame.type === protocol.DELIVERED ? frame.by : frame.from;
    const dest = protocol.fileUnder({ ...frame, from }, me.id);
    if (dest === null) return;
    if (frame.type === "gap") this.#gap(dest, frame.data ?? {});
    else if (frame.type === "typing") this.#typing(dest, frame);
    else if (frame.type === "presence") this.#presence(dest, frame.data ?? {});
    else if (frame.type === "receipt") this.#progress(dest, frame.from, "read", frame.data?.read);
    else if (frame.type === protocol.DELIVERED) this.#progress(dest, frame.by, "delivered", frame.seq);
    else if (typeof frame.type === "string" && Number.isInteger(frame.seq)) this.#entry(dest, /** @type {any} */ (frame));
  }

  /** @param {Frame} frame */
  #accepted(frame) {
    const id = frame.data ?? frame.re;
    const item = this.outbox.get(id);
    this.sender.accepted(id, frame.seq ?? null);
    if (item === undefined) return;
    const { log } = this.store.conversation(item.dest);
    if (log.size > 0) this.outbox.settleUpTo(item.dest, log.last);
  }

  /** @param {Frame} frame */
  #error(frame) {
    if (this.requests.answer(frame) || this.sender.refused(frame)) return;
    const conversation = typeof frame.dest === "string" ? this.store.conversations.get(frame.dest) : undefined;
    if (conversation === undefined) return;
    if (frame.data?.code === "forbidden" || frame.data?.code === "not_found") {
      conversation.problem = frame.data.reason || "This conversation cannot be read any more.";
      conversation.joined = conversation.wanted = false;
      this.store.changed("log", conversation.dest);
    }
  }

  /** @param {string} dest @param {Entry} entry */
  #entry(dest, entry) {
    const conversation = this.store.conversation(dest);
    this.#filed(conversation, conversation.log.add(entry));
  }

  /** @param {Conversation} conversation @param {Entry[]} added @param {boolean} [news] */
  #filed(conversation, added, news = true) {
    this.#arrived(conversation, added, news);
    this.history.watch(conversation);
  }

  /**
   * New entries stand in the log.
   * @param {Conversation} conversation
   * @param {Entry[]} entries
   * @param {boolean} [news]  False for the past that a join brings along: it is not unread.
   */
  #arrived(conversation, entries, news = true) {
    const { store } = this;
    const me = store.me?.id;
    for (const entry of entries) {
      if (entry.from === me && entry.id !== undefined) {
        if (this.outbox.get(entry.id) !== undefined) this.sender.accepted(entry.id, entry.seq);
        this.outbox.settle(entry.id);
      }
      conversation.typing.set(entry.from, entry.name, false);
      if (news && entry.type === "msg" && entry.from !== me) this.#count(conversation, entry);
    }
    if (conversation.log.size > 0) this.outbox.settleUpTo(conversation.dest, conversation.log.last);
    if (entries.length > 0) this.receipts.arrived(conversation);
    if (store.watched(conversation.dest)) this.seen();
    else if (conversation.log.size > 2 * KEEP && conversation.dest !== store.active) conversation.log.trim(KEEP);
    store.changed("log", conversation.dest);
  }

  /** @param {Conversation} conversation @param {Entry} entry  From somebody else. */
  #count(conversation, entry) {
    const { store } = this;
    if (store.watched(conversation.dest)) return;
    conversation.unreadFrom ??= entry.seq;
    if (this.#catchingUp && conversation.unread > 0) return;
    if (conversation.unread === 0) conversation.unreadFrom = entry.seq;
    conversation.unread += 1;
    store.changed("unread", conversation.dest);
  }

  /** @param {string} dest @param {any} data */
  #gap(dest, data) {
    const conversation = this.store.conversation(dest);
    if (data.reset === true) {
      conversation.reset();
      this.outbox.settleUpTo(dest, Infinity);
    } else if (Number.isInteger(data.before)) {
      conversation.log.gap(data.before);
      conversation.log.head = Math.max(conversation.log.head, data.before);
      this.outbox.settleUpTo(dest, data.before - 1);
      if (Number.isInteger(data.after)) conversation.unreadFrom = data.after + 1;
    }
    this.store.changed("log", dest);
  }

  /** @param {string} dest @param {Frame} frame */
  #typing(dest, frame) {
    if (typeof frame.from !== "string" || frame.from === this.store.me?.id) return;
    this.store.conversation(dest).typing.set(frame.from, frame.name ?? this.store.nameOf(frame.from), frame.data?.typing === true);
  }

  /** @param {string} dest @param {any} data */
  #presence(dest, data) {
    const conversation = this.store.conversation(dest);
    const joined = /** @type {protocol.Person[]} */ (data.joined ?? []);
    const left = /** @type {protocol.Person[]} */ (data.left ?? []);
    conversation.roster.change(joined, left, data.online);
    for (const person of left) conversation.typing.set(person.id, person.name, false);
    const others = (/** @type {protocol.Person} */ person) => person.id !== this.store.me?.id;
    if (joined.some(others) || left.some(others)) {
      conversation.notes.add(conversation.log.last, this.clock.now(), joined.filter(others), left.filter(others));
      this.store.changed("log", dest);
    }
    this.store.changed("roster", dest);
  }

  /** @param {Frame} frame */
  #status(frame) {
    const state = frame.data?.state;
    if (typeof frame.from !== "string" || (state !== "online" && state !== "offline")) return;
    const dest = protocol.privateWith(frame.from);
    const conversation = this.store.conversations.get(dest);
    if (conversation === undefined) return;
    conversation.partner = { state, lastSeen: frame.data.last_seen ?? null };
    if (state === "offline") conversation.typing.clear();
    this.store.changed("roster", dest);
  }

  /** @param {string} dest @param {unknown} by @param {"delivered" | "read"} what @param {unknown} seq */
  #progress(dest, by, what, seq) {
    if (by === this.store.me?.id || typeof seq !== "number") return;
    const conversation = this.store.conversation(dest);
    conversation[what] = Math.max(conversation[what], seq);
    conversation.delivered = Math.max(conversation.delivered, conversation.read);
    this.store.changed("log", dest);
  }
}
