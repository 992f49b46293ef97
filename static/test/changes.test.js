import assert from "node:assert/strict";
import { test } from "node:test";
import { entries, entry, Page } from "./fake/page.js";

/** @param {Page} page @param {number} seq */
const shown = (page, seq) => page.public.log.at(seq);
/** @param {Page} page */
const changes = (page) => page.socket.sent.filter((frame) => ["edit", "delete", "react"].includes(frame.type));

/** A page with messages of Bob (1) and Ann (2). */
async function withMessages() {
  const page = new Page();
  await page.enter({}, { head: 2, messages: [entry(1), entry(2, { from: "ann", name: "Ann" })] });
  return page;
}

test("an edit goes out with an id, its target and its author, and is settled by its own entry", async () => {
  const page = await withMessages();
  page.chat.edit("public", entry(2, { from: "ann" }), "better");
  const { id, ...frame } = page.socket.last("edit");
  assert.deepEqual(frame, { type: "edit", dest: "public", data: { target: "m2", author: "ann", text: "better" } });
  page.socket.say({ type: 100, data: id, dest: "public", seq: 3, time: 5 });
  assert.equal(page.outbox.of("public").length, 1, "until it is in the log, it is shown from the outbox");
  page.socket.say(entry(3, { type: "edit", id, from: "ann", name: "Ann", time: 5, data: { target: "m2", author: "ann", text: "better", seq: 2 } }));
  assert.equal(page.outbox.of("public").length, 0);
  assert.deepEqual([shown(page, 2)?.data.text, shown(page, 2)?.edited], ["better", 5]);
});

test("changes made while away wait, survive a reload, and go out once each in their order behind the message", async () => {
  const before = await withMessages();
  before.socket.end(1006);
  before.chat.say("public", "written away");
  const [message] = before.outbox.of("public");
  assert.ok(message);
  before.chat.edit("public", entry(0, { id: message.id, from: "ann" }), "edited away");
  before.chat.react("public", entry(1), "👍", true);
  before.chat.delete("public", entry(2, { from: "ann" }));
  assert.equal(changes(before).length, 0);

  const after = new Page(before.box);
  await after.enter({}, { head: 2, messages: entries(1, 2) });
  const types = () => after.socket.sent.filter((frame) => ["msg", "edit", "delete", "react"].includes(frame.type)).map((frame) => frame.type);
  for (const [i, type] of ["msg", "edit", "react", "delete"].entries()) {
    assert.equal(types().at(-1), type);
    after.socket.say({ type: 100, data: after.socket.last(type).id, dest: "public", seq: 3 + i, time: 3 });
  }
  assert.deepEqual(types(), ["msg", "edit", "react", "delete"]);
  assert.equal(after.socket.last("edit").data.target, message.id);
  assert.deepEqual(after.box.keys("outbox."), []);
});

test("a change that was not answered is sent again under the same id", async () => {
  const page = await withMessages();
  page.chat.react("public", entry(1), "👍", true);
  const { id } = page.socket.last("react");
  await page.drop();
  await page.welcome({}, { head: 2 });
  assert.deepEqual(page.socket.all("react").map((frame) => frame.id), [id]);
});

test("changes of others are applied live, and those missed come with resume", async () => {
  const page = await withMessages();
  page.socket.say(entry(3, { type: "edit", time: 9, data: { target: "m1", seq: 1, text: "better" } }));
  page.socket.say(entry(4, { type: "react", data: { target: "m2", seq: 2, emoji: "🎉", on: true } }));
  assert.deepEqual([shown(page, 1)?.data.text, shown(page, 2)?.reactions], ["better", { "🎉": ["bob"] }]);
  await page.drop();
  await page.welcome({}, null);
  page.socket.say(entry(5, { type: "delete", data: { target: "m1", seq: 1 } }));
  assert.deepEqual([shown(page, 1)?.deleted, shown(page, 1)?.data], [true, {}]);
  assert.equal(page.public.unread, 0, "changes are no messages");
});

test("a refused change says why, leaves the message as it was, and can be given up", async () => {
  const page = await withMessages();
  page.chat.edit("public", entry(1), "not mine");
  const { id } = page.socket.last("edit");
  page.socket.say({ type: "error", re: id, data: { code: "forbidden", reason: "Only the author may.", retry: false } });
  assert.equal(page.outbox.get(id)?.reason, "Only the author may.");
  assert.equal(shown(page, 1)?.data.text, "text 1");
  page.chat.discard(id);
  assert.deepEqual(page.outbox.all(), []);
});

test("giving up a message gives up what was to be changed about it", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  const { id } = page.socket.last("msg");
  page.chat.edit("public", entry(0, { id, from: "ann" }), "b");
  page.socket.say({ type: "error", re: id, data: { code: "too_large", reason: "Too large." } });
  page.chat.discard(id);
  assert.deepEqual(page.outbox.all(), []);
});

test("a message that gets another id takes its changes along, behind it", async () => {
  const page = new Page();
  await page.enter();
  page.chat.say("public", "a");
  const { id } = page.socket.last("msg");
  page.socket.say({ type: "error", re: id, data: { code: "id_conflict", reason: "Used already." } });
  page.socket.end(1006);
  page.chat.edit("public", entry(0, { id, from: "ann" }), "b");
  page.chat.retry(id);
  const [message, change] = page.outbox.of("public");
  assert.deepEqual([message?.type, change?.type], ["msg", "edit"]);
  assert.notEqual(message?.id, id);
  assert.equal(change?.data.target, message?.id);
});

test("what is deleted before it was read is not new any more", async () => {
  const page = new Page();
  await page.enter();
  for (let seq = 1; seq <= 2; seq += 1) page.socket.say(entry(seq));
  page.socket.say(entry(3, { type: "delete", data: { target: "m1", seq: 1 } }));
  assert.equal(page.public.unread, 1);
});

test("unsent messages of earlier pages, which knew no changes, are messages", async () => {
  const page = new Page();
  page.box.write("outbox.ann.x", { id: "x", dest: "public", data: { text: "hi" }, time: 1, stage: "queued", seq: null, reason: "" });
  await page.enter();
  assert.deepEqual(page.socket.last("msg"), { type: "msg", id: "x", dest: "public", data: { text: "hi" } });
});
