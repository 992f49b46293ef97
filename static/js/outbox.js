/**
 * What this person has written or changed and the server has not yet accepted. Each lies in storage under
 * its own key until its 100 is there, so that neither a reload nor another tab can lose it; sending one
 * twice does no harm, since the server stores an id once.
 *
 * Event: `change` (the conversation).
 *
 * @typedef {"queued" | "sent" | "accepted" | "failed"} Stage
 *
 * @typedef {object} Item
 * @property {string} id
 * @property {string} type  "msg", or a change of a message: "edit", "delete", "react".
 * @property {string} dest
 * @property {any} data
 * @property {number} time  When it was written, by this machine's clock.
 * @property {Stage} stage
 * @property {number | null} seq  Its place in the log, once accepted.
 * @property {string} reason  Why it failed, or waits.
 */

import { newId } from "./protocol.js";

export class Outbox extends EventTarget {
  /** In the order of writing. @type {Map<string, Item>} */
  #items = new Map();
  /** @type {string | null} */
  #user = null;

  /** @param {import("./storage.js").Box} box */
  constructor(box) {
    super();
    this.box = box;
  }

  /** Takes up what this user has left unsent, here or in a closed tab. @param {string} user */
  open(user) {
    if (this.#user === user) return;
    this.#user = user;
    this.#items.clear();
    /** @type {Item[]} */
    const found = [];
    for (const key of this.box.keys(`outbox.${user}.`)) {
      const item = this.box.read(key);
      if (typeof item?.id === "string" && typeof item.dest === "string") {
        found.push({ ...item, type: item.type ?? "msg", stage: item.stage === "failed" ? "failed" : "queued", seq: null });
      }
    }
    for (const item of found.sort((a, b) => a.time - b.time)) this.#items.set(item.id, item);
    for (const dest of new Set(found.map((item) => item.dest))) this.#changed(dest);
  }

  /** @param {string} dest @param {any} data @param {number} time @param {string} [type] @returns {Item} */
  add(dest, data, time, type = "msg") {
    /** @type {Item} */
    const item = { id: newId(), type, dest, data, time, stage: "queued", seq: null, reason: "" };
    this.#items.set(item.id, item);
    this.#keep(item);
    return item;
  }

  /** @param {string} dest @returns {Item[]} */
  of(dest) {
    return [...this.#items.values()].filter((item) => item.dest === dest);
  }

  /** @returns {Item[]} */
  all() {
    return [...this.#items.values()];
  }

  /** @param {string} id */
  get(id) {
    return this.#items.get(id);
  }

  /**
   * The next to send in each conversation. Only one per conversation is on its way at a time:
   * what one person writes never overtakes itself, not even when the server refuses one for a moment.
   * @returns {Item[]}
   */
  due() {
    /** @type {Map<string, Item>} */
    const first = new Map();
    for (const item of this.#items.values()) {
      if ((item.stage === "queued" || item.stage === "sent") && !first.has(item.dest)) first.set(item.dest, item);
    }
    return [...first.values()].filter((item) => item.stage === "queued");
  }

  /** Those whose answer is awaited. @returns {Item[]} */
  sent() {
    return [...this.#items.values()].filter((item) => item.stage === "sent");
  }

  /** @param {string} id */
  markSent(id) {
    this.#move(id, "sent");
  }

  /** Not answered, or told to wait: to be sent again under the same id. @param {string} id @param {string} [reason] */
  requeue(id, reason = "") {
    const item = this.#items.get(id);
    if (item?.stage === "sent") this.#move(id, "queued", reason);
  }

  /** On disk at the server: nothing can lose it any more. @param {string} id @param {number | null} seq */
  accept(id, seq) {
    const item = this.#items.get(id);
    if (item === undefined) return;
    this.box.remove(this.#key(id));
    item.stage = "accepted";
    item.seq = seq;
    item.reason = "";
    this.#changed(item.dest);
  }

  /** @param {string} id @param {string} reason */
  fail(id, reason) {
    const item = this.#items.get(id);
    if (item === undefined || item.stage === "accepted") return;
    this.#move(id, "failed", reason);
    this.#keep(item);
  }

  /** Another try of a failed one. @param {string} id @param {boolean} afresh  Under a new id, where the old one is taken. */
  retry(id, afresh = false) {
    const item = this.#items.get(id);
    if (item?.stage !== "failed") return;
    if (afresh) {
      this.settle(id);
      const anew = this.add(item.dest, item.data, item.time, item.type);
      this.#retarget(item, anew.id);
    } else {
      this.#move(id, "queued");
      this.#keep(item);
    }
  }

  /** Its author gives it up, and with a message what was to be changed about it. @param {string} id */
  discard(id) {
    const item = this.#items.get(id);
    if (item === undefined) return;
    if (item.type === "msg") for (const change of this.#changesOf(item)) this.settle(change.id);
    this.settle(id);
  }

  /** The conversation is no longer there. @param {string} dest */
  forget(dest) {
    for (const item of this.of(dest)) this.settle(item.id);
  }

  /** Its own entry has come by in the log. @param {string} id */
  settle(id) {
    const item = this.#items.get(id);
    if (item === undefined) return;
    this.#items.delete(id);
    this.box.remove(this.#key(id));
    this.#changed(item.dest);
  }

  /** Accepted ones up to a place that the page has already shown, or has dropped. @param {string} dest @param {number} seq */
  settleUpTo(dest, seq) {
    for (const item of this.of(dest)) {
      if (item.stage === "accepted" && item.seq !== null && item.seq <= seq) this.settle(item.id);
    }
  }

  /** Changes that wait behind the message that they are about. @param {Item} message @returns {Item[]} */
  #changesOf({ id, dest, type }) {
    return type === "msg" ? this.of(dest).filter((item) => item.type !== "msg" && item.data?.target === id) : [];
  }

  /** @param {Item} message  As it was. @param {string} id  What it is called now. */
  #retarget(message, id) {
    for (const change of this.#changesOf(message)) {
      if (change.stage === "accepted") continue;
      change.data = { ...change.data, target: id };
      // Behind its message again, which has moved to the end.
      this.#items.delete(change.id);
      this.#items.set(change.id, change);
      this.#keep(change);
    }
  }

  /** @param {string} id @param {Stage} stage @param {string} [reason] */
  #move(id, stage, reason = "") {
    const item = this.#items.get(id);
    if (item === undefined) return;
    item.stage = stage;
    item.reason = reason;
    this.#changed(item.dest);
  }

  /** @param {Item} item */
  #keep(item) {
    this.box.write(this.#key(item.id), item);
    this.#changed(item.dest);
  }

  /** @param {string} id */
  #key(id) {
    return `outbox.${this.#user}.${id}`;
  }

  /** @param {string} dest */
  #changed(dest) {
    this.dispatchEvent(new CustomEvent("change", { detail: dest }));
  }
}
