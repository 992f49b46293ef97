import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../js/format.js";
import { splitLinks } from "../js/links.js";

/** @param {string} text */
const linked = (text) => splitLinks(text).filter((piece) => piece.href !== null).map((piece) => piece.text);

test("addresses become links, without the punctuation around them", () => {
  assert.deepEqual(linked("see https://a.example/x."), ["https://a.example/x"]);
  assert.deepEqual(linked("(http://a.example/b_(c)), or HTTPS://B.example!"), ["http://a.example/b_(c)", "HTTPS://B.example"]);
  assert.deepEqual(linked("“https://a.example/?q=1&r=2#z”, <https://b.example>"), ["https://a.example/?q=1&r=2#z", "https://b.example"]);
});

test("nothing but http and https becomes a link", () => {
  for (const text of ["javascript:alert(1)", "data:text/html,x", "ftp://a.example", "www.a.example", "https://", "http:///", "file:///etc/passwd"]) {
    assert.deepEqual(linked(text), [], text);
  }
});

test("a link cannot turn the reading direction", () => {
  assert.deepEqual(linked("https://a.example/\u202emoc.elpmaxe"), ["https://a.example/"]);
});

test("the pieces are the text again", () => {
  for (const text of ["", "x", "https://a.example", " a https://a.example. b http://b.example/) c"]) {
    assert.equal(splitLinks(text).map((piece) => piece.text).join(""), text);
  }
});

test("lists of names", () => {
  assert.equal(format.nameList(["Ann"]), "Ann");
  assert.equal(format.nameList(["Ann", "Bob"]), "Ann and Bob");
  assert.equal(format.nameList(["Ann", "Bob", "Cy"]), "Ann, Bob and Cy");
  assert.equal(format.nameList(["Ann", "Bob", "Cy", "Di", "Ed"]), "Ann, Bob and 3 others");
  assert.equal(format.presenceLine({ joined: ["Ann", "Bob", "Cy", "Di", "Ed"], left: ["Flo"], passed: [] }), "Ann, Bob and 3 others joined · Flo left");
  assert.equal(format.typingLine(["Ann"]), "Ann is typing");
  assert.equal(format.typingLine(["Ann", "Bob"]), "Ann and Bob are typing");
  assert.equal(format.typingLine(["A", "B", "C", "D"]), "Several people are typing");
});

test("days and last seen", () => {
  const now = new Date(2024, 4, 8, 12).getTime();
  const hours = (/** @type {number} */ count) => now - count * 3_600_000;
  assert.equal(format.dayLabel(hours(1), now), "Today");
  assert.equal(format.dayLabel(hours(13), now), "Yesterday");
  assert.equal(format.dayLabel(hours(49), now), "Monday");
  assert.match(format.dayLabel(hours(24 * 400), now), /2023/);
  assert.equal(format.lastSeen(now - 5000, now), "last seen just now");
  assert.equal(format.lastSeen(now - 300_000, now), "last seen 5 min ago");
  assert.match(format.lastSeen(hours(3), now), /^last seen today at /);
  assert.match(format.lastSeen(hours(20), now), /^last seen yesterday at /);
  assert.equal(format.lastSeen(null, now), "not here now");
});

test("pictures have letters and a lasting colour", () => {
  assert.equal(format.initials("Ann Becker"), "AB");
  assert.equal(format.initials("bob"), "B");
  assert.equal(format.initials("🙂"), "🙂");
  assert.equal(format.hue("ann"), format.hue("ann"));
  for (let i = 0; i < 100; i += 1) assert.ok(format.hue(`user-${i}`) >= 0 && format.hue(`user-${i}`) < 8);
});

test("what was done to a room, and when a message was changed, reads as a sentence", () => {
  const bob = { id: "bob", name: "Bob" };
  const line = (/** @type {any} */ data, whom = bob, from = "ann") => format.roomLine(data, "Ann", whom, from);
  assert.equal(line({ change: "create", title: "Ops" }), "Ann created the room “Ops”");
  assert.equal(line({ change: "update", title: "X", open: true }), "Ann renamed the room to “X” and opened the room to everybody");
  assert.equal(line({ change: "add", user: "bob" }), "Ann added Bob");
  assert.equal(line({ change: "remove", user: "ann" }, { id: "ann", name: "Ann" }), "Ann left the room");
  assert.equal(line({ change: "something new" }), "Ann changed the room");
  assert.deepEqual(["it is gone", "You were removed.", ""].map(format.sentence), ["It is gone.", "You were removed.", ""]);
  const noon = new Date(2024, 4, 6, 12).getTime();
  assert.equal(format.editedTime(noon + 60_000, noon), format.clockTime(noon + 60_000));
  assert.match(format.editedTime(noon + 86_400_000, noon), /7/);
});
