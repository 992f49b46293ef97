import assert from "node:assert/strict";
import { test } from "node:test";
import { finder, marked, snippet } from "../js/highlight.js";
import { settled } from "./fake/clock.js";
import { entries, entry, Page } from "./fake/page.js";

/** @param {string} text @param {string} q */
const found = (text, q) => marked(text, finder(q)).filter((piece) => piece.found).map((piece) => piece.text);

test("a search asks here or everywhere, and files what it finds", async () => {
  const page = new Page();
  await page.enter();
  void page.chat.search.ask("  tea ", null);
  assert.deepEqual(page.socket.last("search").data, { q: "tea", limit: 100 });
  assert.equal(page.socket.last("search").dest, undefined);
  await page.reply("search", { messages: [entry(9, { dest: "private/ann" }), entry(2)] });
  assert.deepEqual(page.chat.search.found.map(({ dest, entry: { seq } }) => [dest, seq]), [["private/bob", 9], ["public", 2]]);
  void page.chat.search.ask("tea", "public");
  assert.equal(page.socket.last("search").dest, "public");
});

test("only the answer to the last question counts, and an empty one ends the search", async () => {
  const page = new Page();
  await page.enter();
  void page.chat.search.ask("te", null);
  const early = page.socket.last("search");
  void page.chat.search.ask("tea", null);
  await page.reply("search", { messages: [entry(1)] });
  page.socket.say({ type: "reply", re: early.id, data: { messages: [entry(7)] } });
  await settled();
  assert.deepEqual(page.chat.search.found.map(({ entry: { seq } }) => seq), [1]);
  page.chat.search.clear();
  assert.deepEqual([page.chat.search.active, page.chat.search.found.length], [false, 0]);
});

test("what has no answer is not asked: the server would take it for a bad frame", async () => {
  const page = new Page();
  await page.enter();
  for (const q of ["...", "\"\"", "from:", "tea from:a/b", "* -", Array.from({ length: 33 }, (_, i) => `w${i}`).join(" ")]) {
    await page.chat.search.ask(q, null);
    assert.match(page.chat.search.problem ?? "", /\w/, q);
  }
  assert.equal(page.socket.all("search").length, 0);
  for (const q of ["from:Ann", "from:mqtt:lamp", "喝茶", "👍", "te*"]) void page.chat.search.ask(q, null);
  assert.equal(page.socket.all("search").length, 5);
});

test("a refused or impossible search says why", async () => {
  const page = new Page();
  await page.enter();
  void page.chat.search.ask("too much", null);
  page.socket.say({ type: "error", re: page.socket.last("search").id, data: { code: "bad_frame", reason: "Nothing to look for." } });
  await settled();
  assert.equal(page.chat.search.problem, "Nothing to look for.");
  page.socket.end(1006);
  await page.chat.search.ask("tea", null);
  assert.match(page.chat.search.problem ?? "", /needs a connection/);
});

test("a message far back is shown with what is around it, until scrolling meets the present", async () => {
  const page = new Page();
  await page.enter({}, { head: 1000, messages: entries(951, 1000) });
  const opened = page.chat.openAt("public", 860);
  await settled();
  const [before, after] = page.socket.all("history");
  assert.deepEqual([before.data, after.data], [{ before: 861, limit: 50 }, { after: 860, limit: 50 }]);
  page.socket.say({ type: "reply", re: before.id, data: { messages: entries(811, 860), more: true } });
  page.socket.say({ type: "reply", re: after.id, data: { messages: entries(861, 910), more: true } });
  assert.equal(await opened, true);
  assert.deepEqual([page.public.shown.first, page.public.shown.last, page.public.log.first], [811, 910, 951]);
  page.socket.say(entry(1001, { type: "edit", data: { target: "m860", seq: 860, text: "changed meanwhile" } }));
  assert.equal(page.public.shown.at(860)?.data.text, "changed meanwhile");
  void page.chat.history.newer(page.public);
  assert.deepEqual(page.socket.last("history").data, { after: 910, limit: 50 });
  await page.reply("history", { messages: entries(911, 960), more: true });
  assert.equal(page.public.past, null);
  assert.deepEqual([page.public.log.first, page.public.log.last, page.public.log.at(860)?.data.text], [811, 1001, "changed meanwhile"]);
});

test("a message that is here already needs no question, one that is gone is said to be", async () => {
  const page = new Page();
  await page.enter({}, { head: 1000, messages: entries(951, 1000) });
  assert.equal(await page.chat.openAt("public", 960), true);
  assert.equal(page.socket.all("history").length, 0);
  const opened = page.chat.openAt("public", 3);
  await settled();
  for (const { id } of page.socket.all("history")) page.socket.say({ type: "reply", re: id, data: { messages: [], more: false } });
  assert.equal(await opened, false);
  assert.equal(page.public.past, null);
});

test("what was found is marked, whatever its case, accents and script", () => {
  assert.deepEqual(found("Tea for two, steam, TEA", "tea"), ["Tea", "TEA"]);
  assert.deepEqual(found("Crème brûlée", "creme"), ["Crème"]);
  assert.deepEqual(found("Cre\u0300me brûlée", "crème brulee"), ["Cre\u0300me", "brûlée"]);
  assert.deepEqual(found("one two three", "\"two three\""), ["two three"]);
  assert.deepEqual(found("testing tests contest", "test*"), ["testing", "tests"]);
  assert.deepEqual(found("我喜欢喝茶", "喝茶"), ["喝茶"]);
  assert.deepEqual(found("🙂 tea 🙂", "tea"), ["tea"]);
  assert.deepEqual(found("from ann with tea", "from:ann tea"), ["tea"]);
  assert.deepEqual(found("Die Straße, København, Łódź", "strasse kobenhavn lodz"), ["Straße", "København", "Łódź"]);
  assert.deepEqual(found("snake_case e-mail", "case e-mail"), ["case", "e-mail"]);
  assert.deepEqual(found("ok 👍👍", "👍"), ["👍", "👍"]);
  assert.deepEqual(found("say hello world", "say\"hello world"), ["say", "hello world"]);
  assert.deepEqual(found("한국어 한국", "한국*"), ["한국어", "한국"]);
});

test("nothing in a question is more than text", () => {
  for (const q of ["", "   ", "from:ann", "\"", "*", "(", "a.b|c", "\\", "[x", "<b>"]) {
    const text = "a(b <b>x</b> [x";
    assert.equal(marked(text, finder(q)).map((piece) => piece.text).join(""), text, q);
  }
});

test("of a long text the part around what was found is shown", () => {
  const long = `${"lorem ipsum ".repeat(40)}needle ${"dolor sit ".repeat(40)}`;
  const pieces = snippet(long, finder("needle"));
  const text = pieces.map((piece) => piece.text).join("");
  assert.ok(text.startsWith("…") && text.endsWith("…") && text.length < 200, text);
  assert.deepEqual(pieces.filter((piece) => piece.found).map((piece) => piece.text), ["needle"]);
  assert.equal(snippet("short\n  text", finder("none")).map((piece) => piece.text).join(""), "short text");
});
