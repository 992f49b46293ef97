/**
 * What stands in the list of messages, line by line: days, messages in groups, comings and goings,
 * what was done to the room, the mark before what is new, and what is still being sent. Pure, so that it can be tested without a page.
 *
 * @typedef {import("./protocol.js").Entry} Entry
 * @typedef {import("./outbox.js").Item} Item
 *
 * @typedef {object} MessageRow
 * @property {"message"} kind
 * @property {string} key
 * @property {Entry} entry
 * @property {"sending" | "accepted" | "failed"} state
 * @property {Item | null} item  Set while it is in the outbox.
 * @property {boolean} waiting  Whether an own change of it is on its way.
 * @property {Item | null} refused  An own change of it that was refused.
 * @property {boolean} own
 * @property {boolean} begins  Whether it begins a group of one sender.
 * @property {boolean} ends
 *
 * @typedef {MessageRow
 *   | { kind: "day", key: string, time: number }
 *   | { kind: "note", key: string, note: import("./notes.js").Note }
 *   | { kind: "event", key: string, entry: Entry }
 *   | { kind: "unread", key: string }} Row
 */

import { isChange, withOwnChanges } from "./changes.js";
import { dayOf } from "./format.js";
import { outcome } from "./notes.js";

const GROUP_MS = 5 * 60_000;

/**
 * @param {import("./conversation.js").Conversation} conversation
 * @param {object} view
 * @param {import("./protocol.js").User} view.me
 * @param {number} view.from  First and last seq to show.
 * @param {number} view.to
 * @param {Item[]} view.items  Of the outbox.
 * @param {boolean} view.tail  Whether the newest is in view, and what is being sent behind it.
 * @returns {Row[]}
 */
export function rowsOf(conversation, { me, from, to, items, tail }) {
  const { shown: log, notes, unreadFrom } = conversation;
  const changes = items.filter((item) => isChange(item.type));
  /** @type {Row[]} */
  const rows = [];
  const lines = notes.lines.filter((note) => note.after >= (log.atStart && from <= 1 ? 0 : from) && note.after <= to && worthALine(note));
  let nextLine = 0;
  let unreadShown = unreadFrom === null || unreadFrom < from;
  const notesUpTo = (/** @type {number} */ seq) => {
    for (let note = lines[nextLine]; note !== undefined && note.after <= seq; note = lines[nextLine]) {
      rows.push({ kind: "note", key: note.key, note });
      nextLine += 1;
    }
  };
  notesUpTo(from - 1);
  for (let seq = from; seq <= to && seq > 0; seq += 1) {
    const entry = log.at(seq);
    if (entry?.type === "msg") {
      if (!unreadShown && unreadFrom !== null && seq >= unreadFrom) {
        rows.push({ kind: "unread", key: "unread" });
        unreadShown = true;
      }
      rows.push(messageRow(entry, me, null, changes));
    } else if (entry?.type === "room") rows.push({ kind: "event", key: `seq-${seq}`, entry });
    notesUpTo(seq);
  }
  for (const item of items) {
    if (!tail || isChange(item.type)) continue;
    const entry = { type: "msg", id: item.id, dest: item.dest, from: me.id, name: me.name, seq: item.seq ?? 0, time: item.time, data: item.data };
    rows.push(messageRow(entry, me, item, changes));
  }
  return withDays(group(rows));
}

/** @param {Entry} message @param {import("./protocol.js").User} me @param {Item | null} item @param {Item[]} changes @returns {MessageRow} */
function messageRow(message, me, item, changes) {
  const { entry, waiting, failed: refused } = withOwnChanges(message, changes, me.id);
  const own = entry.from === me.id;
  const state = item === null || item.stage === "accepted" ? "accepted" : item.stage === "failed" ? "failed" : "sending";
  // An own message keeps its row when it moves from the outbox into the log.
  const key = own && entry.id !== undefined ? `own-${entry.id}` : `seq-${entry.seq}`;
  return { kind: "message", key, entry, state, item, waiting, refused, own, begins: true, ends: true };
}

/** @param {Row[]} rows @returns {Row[]} */
function group(rows) {
  for (let i = 1; i < rows.length; i += 1) {
    const before = rows[i - 1];
    const row = rows[i];
    if (row?.kind !== "message" || before?.kind !== "message") continue;
    const together = row.entry.from === before.entry.from && row.entry.time - before.entry.time < GROUP_MS
      && dayOf(row.entry.time) === dayOf(before.entry.time);
    if (together) before.ends = row.begins = false;
  }
  return rows;
}

/** @param {Row[]} rows @returns {Row[]} */
function withDays(rows) {
  /** @type {Row[]} */
  const result = [];
  let day = -1;
  for (const row of rows) {
    if (row.kind === "message" && dayOf(row.entry.time) !== day) {
      day = dayOf(row.entry.time);
      const key = `day-${day}`;
      // Above the mark of what is new, where that stands right before.
      const unread = result.at(-1)?.kind === "unread" ? result.pop() : undefined;
      result.push({ kind: "day", key, time: row.entry.time });
      if (unread !== undefined) result.push(unread);
    }
    result.push(row);
  }
  return result;
}

/** @param {import("./notes.js").Note} note */
function worthALine(note) {
  const { joined, left, passed } = outcome(note);
  return joined.length + left.length + passed.length > 0;
}
