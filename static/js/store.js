/**
 * The state of the page. Views read it and listen; only `chat` and the user's gestures change it.
 *
 * Events, each with the conversation's `dest` as detail where there is one: `session`, `active`,
 * `conversations`, `rooms`, `log`, `roster`, `typing`, `unread`; and `notice`, whose detail is a sentence
 * that somebody should hear.
 */

import { Conversation } from "./conversation.js";
import { DEFAULT_LIMITS, PUBLIC, partnerOf, roomOf } from "./protocol.js";

export class Store extends EventTarget {
  /** @type {import("./protocol.js").User | null} */
  me = null;
  /** The id of the log that all seqs belong to. @type {string | null} */
  logId = null;
  limits = DEFAULT_LIMITS;
  /** @type {Map<string, Conversation>} */
  conversations = new Map();
  /** The rooms that this user can see, by id. @type {Map<string, import("./protocol.js").Room>} */
  rooms = new Map();
  /** The conversation on the screen. */
  active = PUBLIC;
  /** Whether somebody is looking at the newest message of it. */
  attentive = false;

  /** @param {import("./clock.js").Clock} clock */
  constructor(clock) {
    super();
    this.clock = clock;
    this.conversation(PUBLIC);
  }

  /** The conversation of that address, made when it is new. @param {string} dest @returns {Conversation} */
  conversation(dest) {
    let found = this.conversations.get(dest);
    if (found === undefined) {
      found = new Conversation(dest, (what) => this.changed(what, dest), this.clock);
      this.conversations.set(dest, found);
      this.changed("conversations", dest);
    }
    return found;
  }

  get current() {
    return this.conversation(this.active);
  }

  /** Somebody else is signed in, or nobody: nothing of the one before may stay. */
  clear() {
    for (const conversation of this.conversations.values()) conversation.typing.clear();
    this.conversations.clear();
    this.rooms.clear();
    this.me = null;
    this.logId = null;
    this.active = PUBLIC;
    this.conversation(PUBLIC);
    this.changed("active", PUBLIC);
  }

  /** @param {string} dest */
  activate(dest) {
    this.conversation(dest);
    this.active = dest;
    this.changed("active", dest);
  }

  /** Takes a conversation off the list. @param {string} dest */
  forget(dest) {
    this.conversations.get(dest)?.typing.clear();
    if (!this.conversations.delete(dest)) return;
    if (this.active === dest) this.activate(PUBLIC);
    for (const what of ["conversations", "unread"]) this.changed(what, dest);
  }

  /** Is somebody looking at the end of this conversation? @param {string} dest */
  watched(dest) {
    return this.attentive && this.active === dest;
  }

  /** The name of a user, wherever it was seen. @param {string} id */
  nameOf(id) {
    if (this.me?.id === id) return this.me.name;
    for (const conversation of this.conversations.values()) {
      const person = conversation.roster.get(id);
      if (person !== undefined) return person.name;
    }
    for (const conversation of this.conversations.values()) {
      for (let seq = conversation.log.last; seq >= conversation.log.first && seq > 0; seq -= 1) {
        const entry = conversation.log.at(seq);
        if (entry?.from === id && typeof entry.name === "string") return entry.name;
      }
    }
    return id;
  }

  /** The room that a conversation is, as far as it is known. @param {Conversation} conversation */
  roomOf({ room }) {
    return room === null ? undefined : this.rooms.get(room);
  }

  /** Whether this user belongs to a room. @param {import("./protocol.js").Room | undefined} room */
  belongs(room) {
    return room !== undefined && this.me !== null && room.members.includes(this.me.id);
  }

  /** @param {import("./protocol.js").Room | undefined} room */
  owns(room) {
    return room !== undefined && room.owner === this.me?.id;
  }

  /** Somebody should hear this. @param {string} sentence */
  tell(sentence) {
    this.changed("notice", sentence);
  }

  /** @param {Conversation} conversation @returns {string} */
  titleOf(conversation) {
    if (conversation.isPublic) return "Public";
    const partner = conversation.with;
    if (partner === null) return this.roomOf(conversation)?.title ?? conversation.title ?? conversation.room ?? "";
    if (partner === this.me?.id) return "Notes to self";
    return conversation.title ?? this.nameOf(partner);
  }

  /** The title of a conversation that may not be on the list. @param {string} dest @returns {string} */
  titleAt(dest) {
    const known = this.conversations.get(dest);
    if (known !== undefined) return this.titleOf(known);
    const partner = partnerOf(dest);
    return partner === null ? this.rooms.get(roomOf(dest) ?? "")?.title ?? dest : this.nameOf(partner);
  }

  /** Everybody whom this page has met. @returns {import("./protocol.js").User[]} */
  people() {
    /** @type {Map<string, string>} */
    const names = new Map();
    for (const conversation of this.conversations.values()) {
      const partner = conversation.with;
      if (partner !== null && partner !== this.me?.id) names.set(partner, this.titleOf(conversation));
      for (const { id, name } of conversation.roster.list()) names.set(id, name);
    }
    return [...names].map(([id, name]) => ({ id, name }));
  }

  get unread() {
    let sum = 0;
    for (const conversation of this.conversations.values()) sum += conversation.unread;
    return sum;
  }

  /** @param {string} what @param {string | null} [dest] */
  changed(what, dest = null) {
    this.dispatchEvent(new CustomEvent(what, { detail: dest }));
  }
}
