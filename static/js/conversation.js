/**
 * One conversation as this page knows it: its log, its people, its typing, and how far everybody has read.
 */

import { Log } from "./log.js";
import { Notes } from "./notes.js";
import { Roster } from "./roster.js";
import { OthersTyping } from "./typing.js";
import { PUBLIC, partnerOf, roomOf } from "./protocol.js";

export class Conversation {
  log = new Log();
  /** A part of the log far above `log` that somebody is looking at, until the two meet. @type {Log | null} */
  past = null;
  notes = new Notes();
  roster = new Roster();
  /** @type {OthersTyping} */
  typing;
  /** What the server calls it, where it has said so. @type {string | null} */
  title = null;
  /** Whether this session has joined it, whether a join is under way, and whether later sessions shall join it too. */
  joined = false;
  joining = false;
  wanted = false;
  /** The newest entry, as the list of conversations gave it. @type {import("./protocol.js").Entry | null} */
  lastListed = null;
  /** Why it cannot be read, as a sentence. @type {string | null} */
  problem = null;
  /** Whether that is because the room was deleted. */
  gone = false;
  /** A page of older entries is on its way; the last attempt failed. */
  loading = false;
  loadingFailed = false;
  /** Messages from others that nobody has looked at, and the first of them. */
  unread = 0;
  /** @type {number | null} */
  unreadFrom = null;
  /** How far the other party of a private conversation has got, and read. */
  delivered = 0;
  read = 0;
  /** Who was here when the connection was lost: that they come back too is no news, for a while. @type {Set<string>} */
  wereHere = new Set();
  wereHereUntil = 0;
  /** The state of the other party. @type {{ state: "online" | "offline", lastSeen: number | null } | null} */
  partner = null;
  /** How far this user has told that it got and read. */
  confirmed = 0;
  readSent = 0;

  /**
   * @param {string} dest
   * @param {(what: string) => void} changed
   * @param {import("./clock.js").Clock} clock
   */
  constructor(dest, changed, clock) {
    this.dest = dest;
    this.changed = changed;
    this.typing = new OthersTyping(() => changed("typing"), clock);
  }

  get isPublic() {
    return this.dest === PUBLIC;
  }

  /** The other party, or null. */
  get with() {
    return partnerOf(this.dest);
  }

  /** The id of the room, or null. */
  get room() {
    return roomOf(this.dest);
  }

  /** The part of the log that is on the screen. */
  get shown() {
    return this.past ?? this.log;
  }

  /** Whether the other end is a device that cannot be written to. */
  get oneWay() {
    return this.with?.startsWith("mqtt:") ?? false;
  }

  /** When something was last said. */
  get lastTime() {
    return this.log.at(this.log.last)?.time ?? this.lastListed?.time ?? 0;
  }

  /** What was looked at far above goes back into one log, if the two have met. */
  meet() {
    const { past, log } = this;
    if (past === null || past.last < log.first - 1) return;
    this.past = null;
    log.merge(past.run());
    if (past.atStart) log.atStart = true;
  }

  /** It cannot be read any more. @param {string} reason  A sentence. */
  close(reason) {
    this.problem = reason;
    this.joined = this.wanted = false;
    this.unread = 0;
    this.typing.clear();
  }

  /** The log is another one: nothing that was here counts. */
  reset() {
    this.log.reset();
    this.past = null;
    this.notes.clear();
    this.unread = this.delivered = this.read = this.confirmed = this.readSent = 0;
    this.unreadFrom = null;
  }
}
