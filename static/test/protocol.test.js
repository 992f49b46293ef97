import assert from "node:assert/strict";
import { test } from "node:test";
import * as protocol from "../js/protocol.js";

test("what is not a JSON object is no frame", () => {
  for (const text of ["", "{", "[]", "null", "7", "\"x\"", new ArrayBuffer(2)]) assert.equal(protocol.parseFrame(text), null);
  assert.deepEqual(protocol.parseFrame("{\"type\":1002}"), { type: 1002 });
});

test("a frame is filed under its dest, or under its sender when it is for me", () => {
  assert.equal(protocol.fileUnder({ dest: "public", from: "bob" }, "ann"), "public");
  assert.equal(protocol.fileUnder({ dest: "private/bob", from: "ann" }, "ann"), "private/bob");
  assert.equal(protocol.fileUnder({ dest: "private/ann", from: "bob" }, "ann"), "private/bob");
  assert.equal(protocol.fileUnder({ dest: "private/ann", from: "ann" }, "ann"), "private/ann");
  assert.equal(protocol.fileUnder({ dest: "private/ann", from: "mqtt:lamp" }, "ann"), "private/mqtt:lamp");
  assert.equal(protocol.fileUnder({ dest: "private/bob" }, "ann"), "private/bob");
  assert.equal(protocol.fileUnder({}, "ann"), null);
});

test("names are trimmed, counted in characters, and have nothing invisible in them", () => {
  assert.equal(protocol.checkName("  Ann  ").name, "Ann");
  assert.equal(protocol.checkName("Дмитрий 🙂").name, "Дмитрий 🙂");
  assert.equal(protocol.checkName("🙂".repeat(64)).problem, null);
  for (const good of ["I ❤\ufe0f you", "\u2139\ufe0f", "\u182a\u180b\u1820"]) assert.equal(protocol.checkName(good).name, good);
  for (const bad of ["", "   ", "🙂".repeat(65), "a\u202eb", "a\u200bb", "a\u0007b", "a\nb", "a\u2066b", "\ud800",
    "A\u034fnn", "An\ufe0fn", "❤\ufe0f\ufe0f", "An\u180bn", "An\u{1d173}n", "\u2800", "a\ufffe", "a\u{1ffff}"]) {
    assert.equal(protocol.checkName(bad).name, null, JSON.stringify(bad));
    assert.match(protocol.checkName(bad).problem ?? "", /\w/);
  }
});

test("text is counted in Unicode characters and made well-formed", () => {
  assert.equal(protocol.countCharacters("a🙂é"), 3);
  assert.equal(protocol.wellFormed("a\ud83db🙂"), "a\ufffdb🙂");
});

test("message ids are fresh UUIDs", () => {
  const ids = new Set(Array.from({ length: 1000 }, protocol.newId));
  assert.equal(ids.size, 1000);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("each close code asks for what the protocol says", () => {
  const advice = Object.fromEntries([1001, 1006, 1011, 4400, 4401, 4408, 4413, 4429].map((code) => [code, protocol.closeAdvice(code).advice]));
  assert.deepEqual(advice, {
    1001: "after", 1006: "backoff", 1011: "backoff", 4400: "never", 4401: "sign-in", 4408: "backoff", 4413: "backoff", 4429: "after",
  });
});

test("frames have the members of the protocol", () => {
  assert.deepEqual(protocol.join("j", "public", 50), { type: "join", id: "j", dest: "public", data: { history: 50 } });
  assert.deepEqual(protocol.history("h", "public", { before: 9 }, 50), { type: "history", id: "h", dest: "public", data: { before: 9, limit: 50 } });
  assert.deepEqual(protocol.roster("r", "public", null, 9), { type: "roster", id: "r", dest: "public", data: { limit: 9 } });
  assert.deepEqual(protocol.received("private/bob", "m1"), { type: 200, dest: "private/bob", data: "m1" });
  assert.deepEqual(protocol.typing("public", true), { type: "typing", dest: "public", data: { typing: true } });
});

test("frames of rooms, changes and searches have the members of the protocol", () => {
  const change = { type: "react", id: "c", dest: "public", data: { target: "m1", author: "bob", emoji: "👍", on: true }, stage: "queued" };
  assert.deepEqual(protocol.dataMessage(change), { type: "react", id: "c", dest: "public", data: { target: "m1", author: "bob", emoji: "👍", on: true } });
  assert.deepEqual(protocol.search("s", null, "tea", 9), { type: "search", id: "s", data: { q: "tea", limit: 9 } });
  assert.deepEqual(protocol.search("s", "public", "tea", 9), { type: "search", id: "s", dest: "public", data: { q: "tea", limit: 9 } });
  assert.deepEqual(protocol.addMember("a", "rooms/ops", "bob"), { type: "member.add", id: "a", dest: "rooms/ops", data: { user: "bob" } });
  assert.deepEqual(protocol.updateRoom("u", "rooms/ops", { open: true }), { type: "room.update", id: "u", dest: "rooms/ops", data: { open: true } });
});

test("a room's address is made of its title, as far as that goes", () => {
  const ids = ["Ops", "  Café & Küche! ", "Ночь", "a".repeat(90), "--x--", "Team 7"].map(protocol.roomIdFor);
  assert.deepEqual(ids, ["ops", "cafe-kuche", "", "a".repeat(40), "x", "team-7"]);
  assert.equal(protocol.checkName("", "title").problem, "Please type a title first.");
});

test("a frame is measured in bytes", () => {
  const frame = protocol.dataMessage({ type: "msg", id: "x", dest: "public", data: { text: "é" } });
  const bytes = Buffer.byteLength(JSON.stringify(frame));
  assert.equal(protocol.fitsFrame(frame, bytes), true);
  assert.equal(protocol.fitsFrame(frame, bytes - 1), false);
});

test("foreign senders are no users", () => {
  assert.equal(protocol.isUserId("ann-2"), true);
  for (const id of ["mqtt:lamp", "Ann", "-a", "a.b", "", "a".repeat(65)]) assert.equal(protocol.isUserId(id), false, id);
});
