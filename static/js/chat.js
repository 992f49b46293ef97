/**
 * The chat between connection and store: how a session begins and ends,
 * and what each gesture of the user says to the server.
 */

import * as protocol from "./protocol.js";
import { History } from "./history.js";
import { Incoming } from "./incoming.js";
import { Receipts } from "./receipts.js";
import { Requests } from "./requests.js";
import { Rooms } from "./rooms.js";
import { Search } from "./search.js";
import { Sender } from "./sender.js";
import { OwnTyping } from "./typing.js";

/**
 * @typedef {import("./conversation.js").Conversation} Conversation
 * @typedef {import("./protocol.js").Entry} Entry
 * @typedef {import("./protocol.js").Frame} Frame
 */

/** Messages to begin with; fewer in what nobody has opened yet. */
const FIRST_PAGE = 50;
const GLANCE = 20;
const ROSTER_PAGE = 200;
const CONVERSATION_PAGES = 5;
/** After this long with a server that was away, who comes is new. */
const RETURNING_MS = 30_000;

export class Chat {
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
    this.history = new History(store, this.requests, clock, (conversation, entries) => this.incoming.arrived(conversation, entries));
    this.receipts = new Receipts(send, clock);
    this.ownTyping = new OwnTyping((dest, typing) => {
      if (store.conversations.get(dest)?.joined) send(protocol.typing(dest, typing));
    }, clock);
    const { requests, sender, receipts, history } = this;
    this.rooms = new Rooms({ store, outbox, requests, join: (conversation) => void this.#join(conversation, conversation.log.last > 0 ? 0 : GLANCE) });
    this.search = new Search(store, requests);
    const { rooms } = this;
    /** @type {Incoming} */
    this.incoming = new Incoming({ store, outbox, requests, sender, receipts, history, rooms, clock, rejoin: (conversation) => void this.#join(conversation, 0) });
    connection.addEventListener("ready", (event) => this.#ready(/** @type {CustomEvent} */ (event).detail));
    connection.addEventListener("frame", (event) => this.incoming.frame(/** @type {CustomEvent} */ (event).detail));
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

  /** @param {string} dest @param {Entry} message @param {string} text */
  edit(dest, message, text) {
    this.ownTyping.stop();
    this.#change(dest, "edit", { ...targetOf(message), text: protocol.wellFormed(text) });
  }

  /** @param {string} dest @param {Entry} message */
  delete(dest, message) {
    this.#change(dest, "delete", targetOf(message));
  }

  /** @param {string} dest @param {Entry} message @param {string} emoji @param {boolean} on */
  react(dest, message, emoji, on) {
    this.#change(dest, "react", { ...targetOf(message), emoji, on });
  }

  /** @param {string} id */
  retry(id) {
    this.sender.retry(id);
  }

  /** @param {string} id */
  discard(id) {
    this.outbox.discard(id);
    this.sender.pump();
  }

  /** Brings a conversation to the screen. @param {string} dest */
  async open(dest) {
    this.ownTyping.stop();
    const before = this.store.current;
    if (before.dest !== dest && before.unread === 0) before.unreadFrom = null;
    this.store.activate(dest);
    await this.#join(this.store.conversation(dest), FIRST_PAGE);
  }

  /**
   * Brings an entry to the screen, as far back as it may be.
   * @param {string} dest @param {number} seq
   * @returns {Promise<boolean>} Whether it is there.
   */
  async openAt(dest, seq) {
    await this.open(dest);
    const conversation = this.store.conversation(dest);
    const there = await this.history.around(conversation, seq).catch(() => false);
    this.store.changed("log", dest);
    return there && this.store.active === dest;
  }

  /** @param {string} dest @param {string} type @param {any} data */
  #change(dest, type, data) {
    this.outbox.add(dest, data, this.clock.now(), type);
    this.sender.pump();
  }

  /** The newest message of the active conversation is being looked at. */
  seen() {
    this.incoming.seen(this.store.current);
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
    this.incoming.catchingUp = true;
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
    this.incoming.catchingUp = false;
    // A server without rooms leaves the list as it is.
    await Promise.allSettled([this.#listConversations(), this.rooms.list()]);
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
      conversation.gone = false;
      log.head = Math.max(log.head, data.head ?? 0);
      if (log.head === 0) log.atStart = true;
      const { newer } = log.merge(data.messages ?? []);
      this.#markUnread(conversation);
      conversation.delivered = Math.max(conversation.delivered, data.delivered ?? 0, data.read ?? 0);
      conversation.read = Math.max(conversation.read, data.read ?? 0);
      if (Array.isArray(data.roster)) conversation.roster.begin(data.roster, data.online ?? data.roster.length);
      this.incoming.filed(conversation, newer, false);
      this.store.changed("roster", dest);
      conversation.wereHereUntil = this.clock.now() + RETURNING_MS;
    } catch (error) {
      const { code, message } = /** @type {import("./requests.js").RequestError} */ (error);
      if (code !== "disconnected" && code !== "timeout") conversation.close(conversation.problem ?? (message || "This conversation cannot be opened."));
      this.store.changed("log", dest);
    }
    conversation.joining = false;
  }

  /** The server has said how many are unread: finds the first of them. @param {Conversation} conversation */
  #markUnread(conversation) {
    const { log, unread } = conversation;
    if (unread === 0 || conversation.unreadFrom !== null) return;
    let left = unread;
    for (let seq = log.last; seq > 0 && seq >= log.first && left > 0; seq -= 1) {
      const entry = log.at(seq);
      if (entry?.type !== "msg" || entry.deleted === true || entry.from === this.store.me?.id) continue;
      conversation.unreadFrom = seq;
      left -= 1;
    }
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
    this.incoming.catchingUp = false;
    for (const conversation of this.store.conversations.values()) {
      if (conversation.joined) conversation.wereHere = new Set(conversation.roster.here);
      conversation.joined = false;
      conversation.typing.clear();
    }
    this.requests.disconnected();
    this.sender.disconnected();
  }
}

/** Which message a change is about. @param {Entry} message */
const targetOf = ({ id, from }) => ({ target: id, author: from });
