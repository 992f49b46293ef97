/**
 * What each frame of the server does to the state: entries, acknowledgements, presence, typing, receipts.
 */

import * as protocol from "./protocol.js";

/**
 * @typedef {import("./conversation.js").Conversation} Conversation
 * @typedef {import("./protocol.js").Entry} Entry
 * @typedef {import("./protocol.js").Frame} Frame
 */

/** Entries kept of a conversation that nobody is scrolling in. */
const KEEP = 1000;

export class Incoming {
  /** From 1000 until the first answer after it: what comes now is in the server's count of the unread. */
  catchingUp = false;

  /**
   * @param {object} parts
   * @param {import("./store.js").Store} parts.store
   * @param {import("./outbox.js").Outbox} parts.outbox
   * @param {import("./requests.js").Requests} parts.requests
   * @param {import("./sender.js").Sender} parts.sender
   * @param {import("./receipts.js").Receipts} parts.receipts
   * @param {import("./history.js").History} parts.history
   * @param {import("./rooms.js").Rooms} parts.rooms
   * @param {import("./clock.js").Clock} parts.clock
   * @param {(conversation: Conversation) => void} parts.rejoin
   */
  constructor({ store, outbox, requests, sender, receipts, history, rooms, clock, rejoin }) {
    this.store = store;
    this.outbox = outbox;
    this.requests = requests;
    this.sender = sender;
    this.receipts = receipts;
    this.history = history;
    this.rooms = rooms;
    this.clock = clock;
    this.rejoin = rejoin;
  }

  /** @param {Frame} frame */
  frame(frame) {
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
    if (frame.data?.code === "not_joined" && conversation.joined) {
      conversation.joined = false;
      this.rejoin(conversation);
    }
    if (frame.data?.code === "forbidden" || frame.data?.code === "not_found") {
      conversation.close(conversation.problem ?? this.#lostReason(conversation, frame.data));
      this.store.changed("log", conversation.dest);
    }
  }

  /** @param {Conversation} conversation @param {{ code: string, reason?: string }} error */
  #lostReason({ room, log }, { code, reason }) {
    if (code === "not_found" && room !== null && log.size > 0) return "You do not belong to this room any more, or it was deleted.";
    return reason || "This conversation cannot be read any more.";
  }

  /** @param {string} dest @param {Entry} entry */
  #entry(dest, entry) {
    const conversation = this.store.conversation(dest);
    // News of a room that was closed to this user: what was said meanwhile is not waited for.
    if (entry.type === "room" && conversation.problem !== null) conversation.log.gap(entry.seq);
    this.filed(conversation, conversation.log.add(entry));
  }

  /** @param {Conversation} conversation @param {Entry[]} added @param {boolean} [news] */
  filed(conversation, added, news = true) {
    this.arrived(conversation, added, news);
    this.history.watch(conversation);
  }

  /**
   * New entries stand in the log.
   * @param {Conversation} conversation
   * @param {Entry[]} entries
   * @param {boolean} [news]  False for the past that a join brings along: it is not unread.
   */
  arrived(conversation, entries, news = true) {
    const { store } = this;
    const me = store.me?.id;
    for (const entry of entries) {
      if (entry.from === me && entry.id !== undefined) {
        if (this.outbox.get(entry.id) !== undefined) this.sender.accepted(entry.id, entry.seq);
        this.outbox.settle(entry.id);
      }
      conversation.typing.set(entry.from, entry.name, false);
      if (entry.from === conversation.with && typeof entry.name === "string") conversation.title = entry.name;
      if (news && entry.type === "msg" && entry.from !== me && entry.deleted !== true) this.#count(conversation, entry);
      if (news && entry.type === "delete") this.#takenBack(conversation, entry);
      // Whoever writes, on whatever device, has read what is before it; after 1000 the server has counted so already.
      if (news && entry.from === me && !this.catchingUp) this.#readUpTo(conversation, entry.seq);
      conversation.past?.changeBy(entry);
    }
    if (conversation.room !== null) this.rooms.arrived(conversation, entries, news);
    if (conversation.log.size > 0) this.outbox.settleUpTo(conversation.dest, conversation.log.last);
    if (entries.length > 0) this.receipts.arrived(conversation);
    if (store.watched(conversation.dest)) this.seen(conversation);
    else if (conversation.log.size > 2 * KEEP && conversation.dest !== store.active) conversation.log.trim(KEEP);
    store.changed("log", conversation.dest);
  }

  /** Somebody looks at the newest message. @param {Conversation} conversation */
  seen(conversation) {
    if (conversation.unread > 0) {
      conversation.unread = 0;
      this.store.changed("unread", conversation.dest);
    }
    this.receipts.seen(conversation);
  }

  /** @param {Conversation} conversation @param {Entry} entry  From somebody else. */
  #count(conversation, entry) {
    const { store } = this;
    if (store.watched(conversation.dest)) return;
    conversation.unreadFrom ??= entry.seq;
    if (this.catchingUp && conversation.unread > 0) return;
    if (conversation.unread === 0) conversation.unreadFrom = entry.seq;
    conversation.unread += 1;
    store.changed("unread", conversation.dest);
  }

  /** What was deleted before it was read is not new any more. @param {Conversation} conversation @param {Entry} deletion */
  #takenBack(conversation, { data }) {
    const { store } = this;
    const target = conversation.log.at(data?.seq);
    const counted = conversation.unread > 0 && conversation.unreadFrom !== null && data?.seq >= conversation.unreadFrom;
    // After 1000 the server's count has left it out already.
    if (!counted || this.catchingUp || target?.type !== "msg" || target.from === store.me?.id) return;
    conversation.unread -= 1;
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
    if (this.clock.now() > conversation.wereHereUntil) conversation.wereHere.clear();
    const came = joined.filter((person) => others(person) && !conversation.wereHere.delete(person.id));
    const went = left.filter(others);
    // A page listens to all rooms of its user: that somebody's page is open is no news in each of them.
    if (conversation.room === null && (came.length > 0 || went.length > 0)) {
      conversation.notes.add(conversation.log.last, this.clock.now(), came, went);
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
    if (typeof seq !== "number") return;
    const conversation = this.store.conversation(dest);
    if (by === this.store.me?.id) {
      if (what === "read") this.#readElsewhere(conversation, seq);
      return;
    }
    conversation[what] = Math.max(conversation[what], seq);
    conversation.delivered = Math.max(conversation.delivered, conversation.read);
    this.store.changed("log", dest);
  }

  /** On another device of this user. @param {Conversation} conversation @param {number} seq */
  #readElsewhere(conversation, seq) {
    conversation.readSent = Math.max(conversation.readSent, seq);
    this.#readUpTo(conversation, seq);
  }

  /** What is not read yet stands behind `seq`. @param {Conversation} conversation @param {number} seq */
  #readUpTo(conversation, seq) {
    const { log } = conversation;
    let left = 0;
    for (let at = Math.max(seq + 1, log.first); at <= log.last; at += 1) {
      const entry = log.at(at);
      if (entry?.type === "msg" && entry.deleted !== true && entry.from !== this.store.me?.id) left += 1;
    }
    if (left >= conversation.unread) return;
    conversation.unread = left;
    this.store.changed("unread", conversation.dest);
  }
}
