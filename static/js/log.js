/**
 * The part of one conversation's log that this page holds: a run of entries without holes,
 * keyed by seq, `first` to `last`. What arrives early waits aside until the hole before it is filled.
 * Changes to messages (edit, delete, react) are entries too; they are applied to their targets in order.
 *
 * @typedef {import("./protocol.js").Entry} Entry
 */

import { apply, isChange } from "./changes.js";

/** More than this waiting behind a hole is not worth filling it: the page starts again from there. */
const AHEAD_AT_MOST = 1000;

export class Log {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Map<number, Entry>} */
  #ahead = new Map();
  /** Whether the server has said that nothing is older. */
  atStart = false;
  /** The newest seq known to exist. */
  head = 0;
  /** Counts changes to entries that were here already. */
  revision = 0;

  get first() {
    return this.#entries[0]?.seq ?? 0;
  }

  get last() {
    return this.#entries.at(-1)?.seq ?? 0;
  }

  get size() {
    return this.#entries.length;
  }

  /** The hole before what waits aside, as exclusive bounds, or null. @returns {{ after: number, before: number } | null} */
  get hole() {
    if (this.#ahead.size > 0) return { after: this.last, before: Math.min(...this.#ahead.keys()) };
    return null;
  }

  /** @param {number} seq @returns {Entry | undefined} */
  at(seq) {
    return this.#entries[seq - this.first];
  }

  /** All that is here, oldest first. @returns {Entry[]} */
  run() {
    return [...this.#entries];
  }

  /**
   * Takes in one entry, from wherever it comes.
   * @param {Entry} entry
   * @param {number} [present]  Messages from this seq on are shown as they are after it already.
   * @returns {Entry[]} What has become visible by it, in order: nothing for a repetition or behind a hole.
   */
  add(entry, present = Infinity) {
    if (!Number.isInteger(entry.seq) || entry.seq < 1) return [];
    this.head = Math.max(this.head, entry.seq);
    if (this.size > 0 && entry.seq <= this.last) return [];
    if (this.size > 0 && entry.seq > this.last + 1) {
      this.#ahead.set(entry.seq, entry);
      return this.#ahead.size > AHEAD_AT_MOST ? this.#startAfresh() : [];
    }
    const added = [entry];
    this.#append(entry, present);
    if (entry.seq === 1) this.atStart = true;
    for (let next = this.#ahead.get(this.last + 1); next !== undefined; next = this.#ahead.get(this.last + 1)) {
      this.#ahead.delete(next.seq);
      this.#append(next);
      added.push(next);
    }
    return added;
  }

  /**
   * Takes in a run of consecutive entries from an answer: older ones go before, newer ones behind,
   * known ones are replaced by what the server says now. A run far above drops what is here.
   * The messages of a run are shown with all changes in them, so those in the run itself are not applied again.
   * @param {Entry[]} run  Oldest first.
   * @returns {{ older: Entry[], newer: Entry[] }}
   */
  merge(run) {
    const start = run[0]?.seq;
    const end = run.at(-1)?.seq;
    if (start === undefined || end === undefined) return { older: [], newer: [] };
    for (const { seq } of run) this.#ahead.delete(seq);
    if (this.size === 0 || start > this.last + 1) {
      this.gap(start);
      return { older: [], newer: run.flatMap((entry) => this.add(entry, start)) };
    }
    if (end < this.first - 1) return { older: [], newer: [] };
    const older = run.filter((entry) => entry.seq < this.first);
    for (const entry of run) {
      if (entry.seq >= this.first && entry.seq <= this.last) this.#entries[entry.seq - this.first] = entry;
    }
    this.#entries.unshift(...older);
    if (this.first === 1) this.atStart = true;
    this.revision += 1;
    // The answer may have been on its way while later changes came by.
    for (let seq = end + 1; seq <= this.last; seq += 1) this.#change(this.at(seq));
    const newer = run.filter((entry) => entry.seq > this.last).flatMap((entry) => this.add(entry, start));
    return { older, newer };
  }

  /** The server skips what is between `after` and `before`: the page goes on from there. @param {number} before */
  gap(before) {
    if (this.size > 0 && before <= this.last + 1) return;
    this.#restart();
    for (const seq of this.#ahead.keys()) if (seq < before) this.#ahead.delete(seq);
  }

  /** Another log, or none: nothing that is here counts any more. */
  reset() {
    this.#restart();
    this.#ahead.clear();
    this.head = 0;
  }

  /** Forgets the oldest but `keep` entries; `history` brings them back. @param {number} keep */
  trim(keep) {
    if (this.size <= keep) return;
    this.#entries.splice(0, this.size - keep);
    this.atStart = this.first === 1;
  }

  #restart() {
    this.#entries = [];
    this.atStart = false;
    this.revision += 1;
  }

  /** @returns {Entry[]} */
  #startAfresh() {
    const waiting = [...this.#ahead.values()].sort((a, b) => a.seq - b.seq);
    this.#restart();
    this.#ahead.clear();
    return waiting.flatMap((entry) => this.add(entry));
  }

  /**
   * A change whose place is elsewhere: behind the end of this run.
   * @param {Entry} change
   */
  changeBy(change) {
    if (change.seq > this.last) this.#change(change);
  }

  /** @param {Entry} entry @param {number} [present] */
  #append(entry, present = Infinity) {
    this.#entries.push(entry);
    this.#change(entry, present);
  }

  /** @param {Entry | undefined} change @param {number} [present] */
  #change(change, present = Infinity) {
    if (change === undefined || !isChange(change.type)) return;
    const seq = change.data?.seq;
    const target = Number.isInteger(seq) && seq < change.seq && seq < present ? this.at(seq) : undefined;
    if (target === undefined || !apply(target, change)) return;
    if (change.type === "delete") this.#blank(seq, change.seq);
    this.revision += 1;
  }

  /** The text of a deleted message goes from its earlier edits, too. @param {number} target @param {number} before */
  #blank(target, before) {
    for (let seq = target + 1; seq < before; seq += 1) {
      const entry = this.at(seq);
      if (entry?.type === "edit" && entry.data?.seq === target) entry.data = { target: entry.data.target, seq: target };
    }
  }
}
