import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../js/conversation.js";
import { Notes, outcome } from "../js/notes.js";
import { rowsOf } from "../js/rows.js";
import { FakeClock } from "./fake/clock.js";
import { entry } from "./fake/page.js";

const me = { id: "ann", name: "Ann" };
const noon = new Date(2024, 4, 6, 12).getTime();
const MINUTE = 60_000;

/** @param {any[]} list @param {any[]} [items] @param {(conversation: Conversation) => void} [prepare] */
function rows(list, items = [], prepare = () => undefined) {
  const conversation = new Conversation("public", () => undefined, new FakeClock());
  conversation.log.merge(list);
  prepare(conversation);
  return rowsOf(conversation, { me, from: conversation.log.first, to: conversation.log.last, items, tail: true });
}

test("days are separated, messages of one sender grouped", () => {
  const list = [
    entry(1, { time: noon - 24 * 60 * MINUTE }),
    entry(2, { time: noon }), entry(3, { time: noon + MINUTE }), entry(4, { time: noon + 2 * MINUTE, from: "cy" }),
    entry(5, { time: noon + 3 * MINUTE, from: "cy" }), entry(6, { time: noon + 30 * MINUTE, from: "cy" }),
  ];
  const shown = rows(list).map((row) => (row.kind === "message" ? `${row.entry.seq}${row.begins ? "(" : ""}${row.ends ? ")" : ""}` : row.kind));
  assert.deepEqual(shown, ["day", "1()", "day", "2(", "3)", "4(", "5)", "6()"]);
});

test("the mark of what is new stands before the first of it, under its day", () => {
  const shown = rows([entry(1, { time: noon - 24 * 60 * MINUTE }), entry(2, { time: noon }), entry(3, { time: noon })], [], (c) => (c.unreadFrom = 2)).map((row) => row.kind);
  assert.deepEqual(shown, ["day", "message", "day", "unread", "message", "message"]);
});

test("what is being sent stands last, and keeps its row when it gets its place", () => {
  const item = { id: "x", type: "msg", dest: "public", data: { text: "hi" }, time: noon, stage: /** @type {const} */ ("queued"), seq: null, reason: "" };
  const before = rows([entry(1, { time: noon })], [item]).at(-1);
  const after = rows([entry(1, { time: noon }), entry(2, { time: noon, id: "x", from: "ann" })]).at(-1);
  assert.equal(before?.kind === "message" && before.state, "sending");
  assert.equal(after?.kind === "message" && after.state, "accepted");
  assert.equal(before?.key, after?.key);
});

test("entries that are no messages take no row", () => {
  const shown = rows([entry(1), entry(2, { type: "react", data: { seq: 1, emoji: "x" } }), entry(3, { type: "edit", data: { seq: 1, text: "y" } })]);
  assert.deepEqual(shown.map((row) => row.kind), ["day", "message"]);
});

test("what was done to a room has a line in its place, and parts the messages around it", () => {
  const shown = rows([entry(1), entry(2, { type: "room", data: { change: "add", user: "cy" } }), entry(3)]);
  assert.deepEqual(shown.map((row) => row.kind), ["day", "message", "event", "message"]);
  assert.ok(shown.every((row) => row.kind !== "message" || (row.begins && row.ends)));
});

test("own changes show before the server has them, refused ones do not, and none takes a row", () => {
  const change = (/** @type {string} */ type, /** @type {any} */ data, stage = "queued") =>
    ({ id: `c-${type}`, type, dest: "public", data: { target: "m1", author: "bob", ...data }, time: noon, stage, seq: null, reason: "No." });
  const of = (/** @type {any[]} */ items) => {
    const shown = rows([entry(1, { reactions: { "👍": ["bob"] } })], items);
    assert.equal(shown.length, 2);
    const row = shown[1];
    if (row?.kind !== "message") throw new Error("no message");
    return row;
  };
  const edited = of([change("edit", { text: "new" }), change("react", { emoji: "👍", on: true })]);
  assert.equal(edited.entry.data.text, "new");
  assert.deepEqual(edited.entry.reactions, { "👍": ["bob", "ann"] });
  assert.equal(edited.waiting, true);
  assert.equal(of([change("delete", {})]).entry.deleted, true);
  const refused = of([change("edit", { text: "new" }, "failed")]);
  assert.equal(refused.entry.data.text, "text 1");
  assert.deepEqual([refused.refused?.reason, refused.waiting], ["No.", false]);
  assert.equal(of([change("edit", { author: "cy", text: "of another with the same id" })]).entry.data.text, "text 1");
});

test("comings and goings between two messages are one line in their place", () => {
  const shown = rows([entry(1), entry(2)], [], ({ notes }) => {
    notes.add(0, noon, [{ id: "a", name: "A" }], []);
    notes.add(1, noon, [{ id: "b", name: "B" }], []);
    notes.add(1, noon, [{ id: "c", name: "C" }], [{ id: "b", name: "B" }]);
    notes.add(2, noon, [], [{ id: "c", name: "C" }]);
    notes.add(2, noon, [{ id: "c", name: "C" }], []);
  }).map((row) => row.kind);
  assert.deepEqual(shown, ["note", "day", "message", "note", "message"], "who left and came back is not worth a line");
});

test("a line tells what came of it", () => {
  const notes = new Notes();
  const person = (/** @type {string} */ id) => ({ id, name: id.toUpperCase() });
  notes.add(1, noon, [person("a"), person("b")], [person("c")]);
  notes.add(1, noon, [person("c")], [person("b"), person("d")]);
  const [line] = notes.lines;
  assert.ok(line);
  assert.deepEqual(outcome(line), { joined: ["A"], left: ["D"], passed: ["B"] });
});
