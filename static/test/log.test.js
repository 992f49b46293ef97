import assert from "node:assert/strict";
import { test } from "node:test";
import { Log } from "../js/log.js";
import { entries, entry } from "./fake/page.js";

/** @param {Log} log */
const seqs = (log) => Array.from({ length: log.size }, (_, i) => log.at(log.first + i)?.seq);

test("entries are shown once and in order, whatever order they come in", () => {
  const log = new Log();
  assert.deepEqual(log.add(entry(1)).map((e) => e.seq), [1]);
  assert.deepEqual(log.add(entry(1)), []);
  assert.deepEqual(log.add(entry(4)), []);
  assert.deepEqual(log.add(entry(3)), []);
  assert.deepEqual(log.hole, { after: 1, before: 3 });
  assert.deepEqual(log.add(entry(2)).map((e) => e.seq), [2, 3, 4]);
  assert.equal(log.hole, null);
  assert.deepEqual(seqs(log), [1, 2, 3, 4]);
});

test("what has no proper seq is ignored", () => {
  const log = new Log();
  for (const seq of [0, -1, 1.5, "2", null]) assert.deepEqual(log.add(entry(/** @type {any} */ (seq))), []);
  assert.equal(log.size, 0);
});

test("older pages go before, overlapping ones replace, far ones below are refused", () => {
  const log = new Log();
  log.merge(entries(50, 60));
  assert.deepEqual(log.merge(entries(10, 20)), { older: [], newer: [] });
  assert.equal(log.merge(entries(40, 49)).older.length, 10);
  log.merge([entry(55, { data: { text: "edited" } })]);
  assert.equal(log.at(55)?.data.text, "edited");
  assert.equal(log.first, 40);
  assert.equal(log.atStart, false);
  log.merge(entries(1, 39));
  assert.equal(log.atStart, true);
  assert.equal(log.size, 60);
});

test("a run beyond a hole starts the log again, a gap too", () => {
  const log = new Log();
  log.merge(entries(1, 41));
  log.gap(900);
  assert.equal(log.size, 0);
  assert.equal(log.atStart, false);
  log.add(entry(900));
  log.add(entry(901));
  assert.deepEqual(seqs(log), [900, 901]);
  log.merge(entries(1000, 1001));
  assert.deepEqual(seqs(log), [1000, 1001]);
});

test("a gap that skips nothing drops nothing", () => {
  const log = new Log();
  log.merge(entries(1, 41));
  log.gap(42);
  assert.equal(log.size, 41);
});

test("a live entry before the answer to join does not disturb it", () => {
  const log = new Log();
  log.add(entry(12));
  const { older, newer } = log.merge(entries(5, 11));
  assert.equal(older.length, 7);
  assert.equal(newer.length, 0);
  assert.deepEqual([log.first, log.last], [5, 12]);
});

test("what waits behind a hole is bounded", () => {
  const log = new Log();
  log.add(entry(1));
  for (let seq = 3; seq < 1200; seq += 1) log.add(entry(seq));
  assert.equal(log.hole, null);
  assert.equal(log.first, 3);
  assert.equal(log.last, 1199);
});

test("trimming forgets the oldest only", () => {
  const log = new Log();
  log.merge(entries(1, 100));
  log.trim(30);
  assert.deepEqual([log.first, log.last, log.atStart], [71, 100, false]);
  assert.equal(log.at(71)?.seq, 71);
});

test("changes are applied to their targets in order and keep their own place", () => {
  const log = new Log();
  log.merge(entries(1, 2));
  log.add(entry(3, { type: "edit", data: { target: "m1", seq: 1, text: "once" } }));
  log.add(entry(4, { type: "edit", data: { target: "m1", seq: 1, text: "twice" }, time: 7 }));
  log.add(entry(5, { type: "react", from: "ann", data: { seq: 2, emoji: "👍", on: true } }));
  log.add(entry(6, { type: "react", from: "ann", data: { seq: 2, emoji: "👍", on: true } }));
  assert.equal(log.at(1)?.data.text, "twice");
  assert.equal(log.at(1)?.edited, 7);
  assert.deepEqual(log.at(2)?.reactions, { "👍": ["ann"] });
  log.add(entry(7, { type: "react", from: "ann", data: { seq: 2, emoji: "👍", on: false } }));
  assert.deepEqual(log.at(2)?.reactions, { "👍": [] });
  log.add(entry(8, { type: "delete", data: { seq: 1 } }));
  assert.equal(log.at(1)?.deleted, true);
  assert.deepEqual(log.at(1)?.data, {});
  log.add(entry(9, { type: "edit", data: { seq: 1, text: "back again" } }));
  assert.deepEqual(log.at(1)?.data, {});
  assert.equal(log.last, 9);
});

test("older pages do not undo newer changes", () => {
  const log = new Log();
  log.merge([entry(8, { data: { text: "final" }, edited: 2 })]);
  log.merge([entry(5, { data: { text: "five, as it is now" } }), entry(6, { type: "edit", data: { seq: 5, text: "five, as it was" } }), entry(7)]);
  assert.equal(log.at(5)?.data.text, "five, as it is now");
});

test("a run's messages are shown with all changes in it, so that those are not applied again", () => {
  const log = new Log();
  // What the server says now: the message after both edits, of which only the first is in the run.
  log.merge([entry(5, { data: { text: "third" }, edited: 3 }), entry(6, { type: "edit", data: { seq: 5, text: "second" } }), entry(7)]);
  assert.equal(log.at(5)?.data.text, "third");
  log.merge([entry(8, { type: "edit", data: { seq: 5, text: "fourth" } })]);
  assert.equal(log.at(5)?.data.text, "fourth");
});

test("changes that came by before the answer with their target are not lost", () => {
  const log = new Log();
  log.merge(entries(10, 11));
  log.add(entry(12, { type: "edit", data: { seq: 9, text: "new" }, time: 5 }));
  log.add(entry(13, { type: "react", from: "ann", data: { seq: 9, emoji: "x", on: true } }));
  log.merge([entry(9, { data: { text: "old" } })]);
  assert.deepEqual([log.at(9)?.data.text, log.at(9)?.edited, log.at(9)?.reactions], ["new", 5, { x: ["ann"] }]);
});

test("of a deleted message no text stays, not even in its earlier edits", () => {
  const log = new Log();
  log.merge(entries(1, 1));
  log.add(entry(2, { type: "edit", data: { target: "m1", seq: 1, text: "secret" } }));
  log.add(entry(3, { type: "react", data: { target: "m1", seq: 1, emoji: "x", on: true } }));
  log.add(entry(4, { type: "delete", data: { target: "m1", seq: 1 } }));
  assert.doesNotMatch(JSON.stringify(log.run()), /secret|text 1/);
  assert.equal(log.at(1)?.reactions, undefined);
});

test("a change from further on is applied to a part of the log", () => {
  const past = new Log();
  past.merge(entries(3, 5));
  past.changeBy(entry(900, { type: "edit", data: { seq: 4, text: "changed just now" } }));
  assert.equal(past.at(4)?.data.text, "changed just now");
  assert.equal(past.last, 5);
});
