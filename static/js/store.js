/**
 * The state of the page. Views read it and listen; only `chat` and the user's gestures change it.
 *
 * Events, each with the conversation's `dest` as detail where there is one: `session`, `active`,
 * `conversations`, `log`, `roster`, `typing`, `unread`.
 */

import { Conversation } from "./conversation.js";
import { DEFAULT_LIMITS, PUBLIC } from "./protocol.js";

export class Store extends EventTarget {
  /** @type {import("./protocol.js").User | null} */
  me = null;
  /** The id of the log that all seqs belong to. @type {string | null} */
  logId = null;
  limits = DEFAULT_LIMITS;
  /** @type {Map<string, Conversation>} */
  conversations = new Map();
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

  /** @param {Conversation} conversation @returns {string} */
  titleOf(conversation) {
    if (conversation.isPublic) return "Public";
    const partner = conversation.with;
    if (partner === null) return conversation.title ?? conversation.dest.replace(/^rooms\//, "");
    if (partner === this.me?.id) return "Notes to self";
    return conversation.title ?? this.nameOf(partner);
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
