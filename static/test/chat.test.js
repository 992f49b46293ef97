import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "./fake/clock.js";
import { entries, entry, Page } from "./fake/page.js";

/** @param {Page} page */
const texts = (page) => page.outbox.of("public").map((item) => [item.data.text, item.stage]);

test("the first session joins, the next one resumes and asks for no history again", async () => {
  const page = new Page();
  await page.enter({}, { head: 3, messages: entries(1, 3) });
  assert.equal(page.socket.last("join").data.history, 50);
  page.socket.say(entry(4));
  await page.drop();
  await page.welcome({}, { head: 4 });
  assert.deepEqual(page.socket.last("hello").data.resume, { public: 4 });
  assert.equal(page.socket.last("hello").data.log, "log-1");
  assert.equal(page.socket.last("join").data.history, 0);
  page.socket.say(entry(4));
  page.socket.say(entry(5));
  assert.deepEqual(page.seqs, [1, 2, 3, 4, 5]);
});

test("resume names no more conversations than the server takes, the newest ones", async () => {
  const page = new Page();
  await page.enter({ limits: { text: 4096, frame: 65536, history: 200, resume: 3, ping: 25000 } }, { head: 1, messages: entries(1, 1) });
  for (let i = 1; i <= 9; i += 1) page.socket.say(entry(1, { from: `u${i}`, dest: "private/ann", time: 1000 + i }));
  assert.deepEqual(page.chat.resume(), { public: 1, "private/u9": 1, "private/u8": 1 });
});

test("a gap drops the older and goes on from the newest", async () => {
  const page = new Page();
  await page.enter({}, { head: 41, messages: entries(1, 41) });
  await page.drop();
  await page.welcome({}, null);
  page.socket.say({ type: "gap", dest: "public", data: { after: 41, before: 900 } });
  for (const one of entries(900, 1099)) page.socket.say(one);
  await page.reply("join", { head: 1099, roster: [], online: 1, messages: [] });
  assert.deepEqual([page.public.log.first, page.public.log.last], [900, 1099]);
  void page.chat.history.older(page.public);
  await settled();
  assert.deepEqual(page.socket.last("history").data, { before: 900, limit: 50 });
  await page.reply("history", { messages: entries(850, 899), more: true });
  assert.equal(page.public.log.first, 850);
});

test("another log resets everything", async () => {
  const page = new Page();
  await page.enter({}, { head: 41, messages: entries(1, 41) });
  await page.drop();
  await page.welcome({ log: "log-2" }, null);
  page.socket.say({ type: "gap", dest: "public", data: { after: 41, before: 1, reset: true } });
  page.socket.say(entry(1, { data: { text: "anew" } }));
  assert.deepEqual(page.seqs, [1]);
  assert.equal(page.public.log.at(1)?.data.text, "anew");
  assert.equal(page.store.logId, "log-2");
});

test("a reset within the same log drops what is above the head", async () => {
  const page = new Page();
  await page.enter({}, { head: 41, messages: entries(1, 41) });
  page.socket.say({ type: "gap", dest: "public", data: { after: 41, before: 10, reset: true } });
  for (const one of entries(10, 20)) page.socket.say(one);
  assert.deepEqual([page.public.log.first, page.public.log.last], [10, 20]);
});

test("a hole that stays is fetched", async () => {
  const page = new Page();
  await page.enter({}, { head: 3, messages: entries(1, 3) });
  page.socket.say(entry(6));
  assert.deepEqual(page.seqs, [1, 2, 3]);
  page.clock.pass(1000);
  await settled();
  assert.deepEqual(page.socket.last("history").data, { after: 3, limit: 200 });
  await page.reply("history", { messages: entries(4, 6), more: false });
  assert.deepEqual(page.seqs, [1, 2, 3, 4, 5, 6]);
});

test("a missing last entry is noticed by the head of join", async () => {
  const page = new Page();
  await page.enter({}, { head: 3, messages: entries(1, 3) });
  await page.drop();
  await page.welcome({}, { head: 5 });
  page.clock.pass(1000);
  await settled();
  await page.reply("history", { messages: entries(4, 5), more: false });
  assert.deepEqual(page.seqs, [1, 2, 3, 4, 5]);
});

test("a message is sent once, accepted by 100, and settled by its own copy in either order", async () => {
  for (const copyFirst of [false, true]) {
    const page = new Page();
    await page.enter();
    page.chat.say("public", "hi");
    const { id } = page.socket.last("msg");
    const accepted = () => page.socket.say({ type: 100, data: id, dest: "public", seq: 1, time: 5 });
    const copy = () => page.socket.say(entry(1, { id, from: "ann", name: "Ann" }));
    assert.deepEqual(texts(page), [["hi", "sent"]]);
    if (copyFirst) copy();
    else {
      accepted();
      assert.deepEqual(texts(page), [["hi", "accepted"]]);
    }
    if (copyFirst) accepted();
    else copy();
    assert.deepEqual(texts(page), []);
    assert.deepEqual(page.box.keys("outbox."), []);
    page.clock.pass(120_000);
    assert.equal(page.sockets[0]?.all("msg").length, 1);
  }
});

test("messages of one person do not overtake each other, and all get sent", async () => {
  const page = new Page();
  await page.enter();
  for (const text of ["a", "b", "c"]) page.chat.say("public", text);
  assert.equal(page.socket.all("msg").length, 1);
  for (let seq = 1; seq <= 3; seq += 1) page.socket.say({ type: 100, data: page.socket.last("msg").id, dest: "public", seq, time: seq });
  assert.deepEqual(page.socket.all("msg").map((frame) => frame.data.text), ["a", "b", "c"]);
});

test("what was not acknowledged goes out again after a reconnect, under the same id", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "hi");
  const { id } = page.socket.last("msg");
  page.chat.say("public", "there");
  await page.drop();
  page.chat.say("public", "written while away");
  await page.welcome();
  assert.equal(page.socket.last("msg").id, id);
  for (let seq = 1; seq <= 3; seq += 1) page.socket.say({ type: 100, data: page.socket.last("msg").id, dest: "public", seq, time: seq });
  assert.deepEqual(page.socket.all("msg").map((frame) => frame.data.text), ["hi", "there", "written while away"]);
});

test("an unacknowledged message survives a reload", async () => {
  const before = new Page();
  await before.enter();
  before.chat.say("public", "hi");
  const { id } = before.socket.last("msg");
  const after = new Page(before.box);
  await after.enter();
  assert.deepEqual(after.socket.last("msg"), { type: "msg", id, dest: "public", data: { text: "hi" } });
});

test("another user's unsent messages are not sent", async () => {
  const before = new Page();
  await before.enter();
  before.chat.say("public", "hi");
  const after = new Page(before.box);
  await after.enter({ user: { id: "bob", name: "Bob" } });
  assert.equal(after.socket.all("msg").length, 0);
});

test("rate_limited waits as long as it says and sends the same id", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  page.chat.say("public", "b");
  const { id } = page.socket.last("msg");
  page.socket.say({ type: "error", re: id, data: { code: "rate_limited", reason: "Slow down.", retry: true, retry_after: 1500 } });
  page.clock.pass(1499);
  assert.equal(page.socket.all("msg").length, 1);
  page.clock.pass(1);
  assert.deepEqual(page.socket.all("msg").map((frame) => frame.id), [id, id]);
  assert.deepEqual(texts(page), [["a", "sent"], ["b", "queued"]]);
});

test("unavailable is tried again until it works", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  const { id } = page.socket.last("msg");
  for (let i = 0; i < 8; i += 1) {
    page.socket.say({ type: "error", re: id, data: { code: "unavailable", reason: "The store is away.", retry: true } });
    let waited = 0;
    for (; page.socket.all("msg").length < i + 2; waited += 50) page.clock.pass(50);
    assert.ok(waited > 200 && waited <= 30_000, `${waited}`);
  }
  page.socket.say({ type: 100, data: id, dest: "public", seq: 1, time: 1 });
  assert.deepEqual(texts(page), [["a", "accepted"]]);
});

test("a refused message says why, holds nothing up, and can be tried again or given up", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  page.chat.say("public", "b");
  const { id } = page.socket.last("msg");
  page.socket.say({ type: "error", re: id, data: { code: "forbidden", reason: "Not here.", retry: false } });
  assert.equal(page.outbox.get(id)?.reason, "Not here.");
  assert.deepEqual(texts(page), [["a", "failed"], ["b", "sent"]]);
  page.socket.say({ type: 100, data: page.socket.last("msg").id, dest: "public", seq: 1, time: 1 });
  page.chat.retry(id);
  assert.equal(page.socket.last("msg").id, id);
  page.socket.say({ type: "error", re: id, data: { code: "forbidden", reason: "Not here." } });
  page.chat.discard(id);
  assert.deepEqual(texts(page), [["b", "accepted"]]);
});

test("an id that is taken is not used again", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  const { id } = page.socket.last("msg");
  page.socket.say({ type: "error", re: id, data: { code: "id_conflict", reason: "Used already." } });
  page.chat.retry(id);
  assert.notEqual(page.socket.last("msg").id, id);
  assert.equal(page.socket.last("msg").data.text, "a");
});

test("an error without re fails the one message under way", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  page.socket.say({ type: "error", data: { code: "too_large", reason: "Too large." } });
  assert.deepEqual(texts(page), [["a", "failed"]]);
});

test("an error without re that is for now has the one message under way sent again", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  page.socket.say({ type: "error", data: { code: "unavailable", reason: "No room.", retry: true } });
  assert.deepEqual(texts(page), [["a", "queued"]]);
  page.clock.pass(2_000);
  assert.deepEqual(page.socket.all("msg").map((frame) => frame.data.text), ["a", "a"]);
});

test("private messages are filed under the partner, and their arrival confirmed once for a burst", async () => {
  const page = new Page();
  await page.enter();
  for (let seq = 1; seq <= 5; seq += 1) page.socket.say(entry(seq, { dest: "private/ann" }));
  page.clock.pass(200);
  assert.deepEqual(page.socket.all(200), [{ type: 200, dest: "private/bob", data: "m5" }]);
  const conversation = page.store.conversation("private/bob");
  assert.equal(conversation.log.last, 5);
  assert.equal(conversation.unread, 5);
});

test("300 and receipts show how far the other party is", async () => {
  const page = new Page();
  await page.enter();
  page.socket.say(entry(1, { id: "x", dest: "private/bob", from: "ann", name: "Ann" }));
  page.socket.say({ type: 300, data: "x", by: "bob", dest: "private/bob", seq: 1 });
  const conversation = page.store.conversation("private/bob");
  assert.equal(conversation.delivered, 1);
  assert.equal(conversation.read, 0);
  page.socket.say({ type: "receipt", from: "bob", dest: "private/ann", data: { read: 1 } });
  assert.equal(conversation.read, 1);
});

test("unread counts what nobody looked at, and the server's count is not added to", async () => {
  const page = new Page();
  await page.enter({ unread: { "private/bob": 3 } }, null);
  for (let seq = 1; seq <= 3; seq += 1) page.socket.say(entry(seq, { dest: "private/ann" }));
  await page.reply("join", { head: 0, online: 1, roster: [], messages: [] });
  assert.equal(page.store.conversation("private/bob").unread, 3);
  page.socket.say(entry(4, { dest: "private/ann" }));
  assert.equal(page.store.conversation("private/bob").unread, 4);
  page.socket.say(entry(1));
  assert.equal(page.public.unread, 1);
  page.store.attentive = true;
  page.chat.seen();
  assert.equal(page.public.unread, 0);
  page.socket.say(entry(2));
  assert.equal(page.public.unread, 0);
});

test("what is read of a private conversation is told", async () => {
  const page = new Page();
  await page.enter();
  page.socket.say(entry(1, { dest: "private/ann" }));
  page.store.attentive = true;
  page.chat.open("private/bob");
  page.chat.seen();
  page.clock.pass(600);
  assert.deepEqual(page.socket.all("read"), [{ type: "read", dest: "private/bob", data: { seq: 1 } }]);
  assert.equal(page.store.conversation("private/bob").unread, 0);
});

test("presence changes the roster and adds one line, which is not about oneself", async () => {
  const page = new Page();
  await page.enter({}, { online: 2, roster: [{ id: "ann", name: "Ann", state: "online" }, { id: "bob", name: "Bob", state: "online" }, { id: "cy", name: "Cy", state: "offline", last_seen: 5 }] });
  page.socket.say({ type: "presence", dest: "public", data: { online: 3, joined: [{ id: "cy", name: "Cy" }, { id: "ann", name: "Ann" }], left: [] } });
  page.socket.say({ type: "presence", dest: "public", data: { online: 2, joined: [], left: [{ id: "bob", name: "Bob", last_seen: 77 }] } });
  assert.equal(page.public.roster.online, 2);
  assert.deepEqual(page.public.roster.list().map((person) => [person.id, person.state]), [["ann", "online"], ["cy", "online"], ["bob", "offline"]]);
  assert.equal(page.public.roster.get("bob")?.last_seen, 77);
  assert.equal(page.public.notes.lines.length, 1);
  assert.deepEqual([...page.public.notes.lines[0]?.moves.keys() ?? []], ["cy", "bob"]);
});

test("those who come back with the server are no news, others are", async () => {
  const page = new Page();
  const person = (/** @type {string} */ id) => ({ id, name: id, state: "online" });
  await page.enter({}, { online: 2, roster: [person("ann"), person("bob")] });
  await page.drop();
  await page.welcome({}, { online: 1, roster: [person("ann")] });
  assert.equal(page.public.roster.get("bob")?.state, "offline");
  page.socket.say({ type: "presence", dest: "public", data: { online: 3, joined: [{ id: "bob", name: "bob" }, { id: "cy", name: "cy" }], left: [] } });
  assert.equal(page.public.roster.get("bob")?.state, "online");
  assert.deepEqual([...page.public.notes.lines[0]?.moves.keys() ?? []], ["cy"]);
  page.socket.say({ type: "presence", dest: "public", data: { online: 2, joined: [], left: [{ id: "bob", name: "bob" }] } });
  assert.deepEqual([...page.public.notes.lines[0]?.moves.keys() ?? []], ["cy", "bob"]);
});

test("a server that has forgotten the join is joined again", async () => {
  const page = new Page();
  await page.enter();
  page.socket.say({ type: "error", dest: "public", data: { code: "not_joined", reason: "Join first." } });
  assert.equal(page.socket.all("join").length, 2);
});

test("typing of others shows, ends with their message, by their word, or by itself", async () => {
  const page = new Page();
  await page.enter();
  const type = (/** @type {string} */ from, typing = true) => page.socket.say({ type: "typing", from, name: from, dest: "public", data: { typing } });
  type("ann");
  assert.deepEqual(page.public.typing.names, []);
  type("bob");
  type("cy");
  assert.deepEqual(page.public.typing.names, ["bob", "cy"]);
  page.socket.say(entry(1));
  assert.deepEqual(page.public.typing.names, ["cy"]);
  type("cy", false);
  assert.deepEqual(page.public.typing.names, []);
  type("bob");
  page.clock.pass(6_999);
  assert.deepEqual(page.public.typing.names, ["bob"]);
  page.clock.pass(1);
  assert.deepEqual(page.public.typing.names, []);
});

test("own typing is told at the first key, then rarely, and ends when idle or sent", async () => {
  const page = new Page();
  await page.enter();
  const told = () => page.socket.all("typing").map((frame) => frame.data.typing);
  for (let i = 0; i < 10; i += 1) {
    page.chat.ownTyping.key("public");
    page.clock.pass(200);
  }
  assert.deepEqual(told(), [true]);
  page.clock.pass(1_500);
  page.chat.ownTyping.key("public");
  assert.deepEqual(told(), [true, true]);
  page.clock.pass(4_000);
  assert.deepEqual(told(), [true, true, false]);
  page.chat.ownTyping.key("public");
  page.chat.say("public", "done");
  assert.deepEqual(page.socket.sent.slice(-2).map((frame) => frame.type), ["typing", "msg"]);
  assert.deepEqual(told(), [true, true, false, true, false]);
});

test("status tells whether a partner is here", async () => {
  const page = new Page();
  await page.enter();
  page.chat.open("private/bob");
  await settled();
  assert.equal(page.socket.last("join").dest, "private/bob");
  await page.reply("join", { head: 1, messages: [entry(1, { dest: "private/bob", from: "ann" })], delivered: 1, read: 0 });
  page.socket.say({ type: "status", from: "bob", data: { state: "offline", last_seen: 99 } });
  const conversation = page.store.conversation("private/bob");
  assert.deepEqual(conversation.partner, { state: "offline", lastSeen: 99 });
  assert.equal(conversation.delivered, 1);
});

test("a conversation that may not be read any more says so, and is not resumed", async () => {
  const page = new Page();
  await page.enter();
  page.socket.say(entry(1, { dest: "rooms/ops" }));
  page.socket.say({ type: "error", dest: "rooms/ops", data: { code: "forbidden", reason: "You were removed." } });
  assert.equal(page.store.conversation("rooms/ops").problem, "You were removed.");
  assert.deepEqual(page.chat.resume(), {});
});

test("a busy server is asked again, a refused join is told", async () => {
  const page = new Page();
  await page.enter({}, null);
  const first = page.socket.last("join").id;
  page.socket.say({ type: "error", re: first, data: { code: "unavailable", reason: "Away.", retry: true, retry_after: 500 } });
  await settled();
  page.clock.pass(500);
  await settled();
  assert.equal(page.socket.all("join").length, 2);
  page.socket.say({ type: "error", re: page.socket.last("join").id, data: { code: "forbidden", reason: "Closed.", retry: false } });
  await settled();
  assert.equal(page.public.problem, "Closed.");
});

test("somebody else signing in finds nothing of the one before", async () => {
  const page = new Page();
  await page.enter({}, { head: 1, messages: entries(1, 1) });
  page.socket.say(entry(1, { dest: "private/ann" }));
  await page.drop();
  await page.welcome({ user: { id: "cy", name: "Cy" } }, null);
  assert.equal(page.public.log.size, 0);
  assert.equal(page.store.conversations.has("private/bob"), false);
  assert.equal(page.socket.last("join").data.history, 50);
});

test("unknown frames change nothing", async () => {
  const page = new Page();
  await page.enter();
  for (const frame of [{ type: "party" }, { type: 4711, data: "x" }, { type: "msg", dest: "public" }, { type: "gap" }, { type: "presence", dest: "public" }, { type: "reply", re: "nobody" }, { type: "error" }, {}]) {
    page.socket.say(frame);
  }
  assert.deepEqual(page.seqs, []);
  assert.equal(page.connection.status.phase, "ready");
});
