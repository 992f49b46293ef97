import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "./fake/clock.js";
import { entry, Page, room, roomEntry } from "./fake/page.js";
import { readyData } from "./fake/socket.js";

const OPS = "rooms/ops";

/** A page that has asked which rooms there are. @param {any[]} rooms @param {object} [ready] */
async function withRooms(rooms, ready) {
  const page = new Page();
  await page.enter(ready);
  await page.reply("conversations", { conversations: [], more: false });
  await page.reply("rooms", { rooms });
  return page;
}

/** @param {Page} page */
const listed = (page) => [...page.store.conversations.keys()];
/** @param {Page} page */
const notices = (page) => {
  /** @type {string[]} */
  const heard = [];
  page.store.addEventListener("notice", (event) => heard.push(/** @type {CustomEvent} */ (event).detail));
  return heard;
};

test("rooms that one belongs to are listed and joined, open ones only known", async () => {
  const page = await withRooms([room(), room({ id: "lounge", title: "Lounge", open: true, members: ["bob"] })]);
  assert.deepEqual(listed(page), ["public", OPS]);
  assert.equal(page.socket.last("join").dest, OPS);
  assert.deepEqual([...page.store.rooms.keys()], ["ops", "lounge"]);
  assert.equal(page.store.titleOf(page.store.conversation(OPS)), "Ops");
});

test("a long list of rooms comes in pages", async () => {
  const page = new Page();
  await page.enter();
  await page.reply("rooms", { rooms: [room({ id: "a" })], more: true });
  assert.deepEqual(page.socket.last("rooms").data, { after: "a" });
  await page.reply("rooms", { rooms: [room({ id: "b" })], more: false });
  assert.deepEqual([...page.store.rooms.keys()], ["a", "b"]);
});

test("making a room takes the next free address, under one id while the server is busy", async () => {
  const page = await withRooms([]);
  const made = page.chat.rooms.create({ title: "Ops", open: false, members: ["bob"] });
  await settled();
  const first = page.socket.last("room.create");
  assert.deepEqual([first.dest, first.data], [OPS, { title: "Ops", open: false, members: ["bob"] }]);
  page.socket.say({ type: "error", re: first.id, data: { code: "unavailable", reason: "Away.", retry: true } });
  await settled();
  page.clock.pass(2_000);
  await settled();
  assert.equal(page.socket.last("room.create").id, first.id);
  page.socket.say({ type: "error", re: first.id, data: { code: "conflict", reason: "It exists." } });
  await settled();
  assert.equal(page.socket.last("room.create").dest, "rooms/ops-2");
  await page.reply("room.create", room({ id: "ops-2", owner: "ann" }));
  assert.equal(await made, "rooms/ops-2");
  assert.ok(listed(page).includes("rooms/ops-2"));
  assert.equal(page.socket.last("join").dest, "rooms/ops-2");
});

test("an address that was typed is not replaced by another", async () => {
  const page = await withRooms([]);
  const made = page.chat.rooms.create({ title: "Ops", open: true, members: [], id: "mine" });
  await settled();
  page.socket.say({ type: "error", re: page.socket.last("room.create").id, data: { code: "conflict", reason: "It exists." } });
  await assert.rejects(made, { code: "conflict" });
});

test("being added brings the room onto the list, joins it and says so", async () => {
  const page = await withRooms([]);
  const heard = notices(page);
  page.socket.say(roomEntry(3, { change: "add", user: "ann", room: room() }));
  await settled();
  assert.ok(listed(page).includes(OPS));
  assert.equal(page.socket.last("join").dest, OPS);
  assert.deepEqual(heard, ["Bob added you to “Ops”."]);
});

test("being removed is said kindly, and nothing is sent there any more", async () => {
  const page = await withRooms([room()]);
  await page.reply("join", { head: 1, online: 1, roster: [], messages: [entry(1, { dest: OPS })] });
  page.socket.say(entry(2, { dest: OPS }));
  assert.equal(page.store.unread, 1);
  const heard = notices(page);
  page.socket.say(roomEntry(3, { change: "remove", user: "ann", room: room({ members: ["bob"], modified: 2 }) }));
  const conversation = page.store.conversation(OPS);
  assert.deepEqual([conversation.problem, conversation.joined], ["Bob removed you from this room.", false]);
  assert.deepEqual(heard, ["Bob removed you from “Ops”."]);
  assert.equal(page.store.rooms.has("ops"), false);
  assert.equal(page.store.unread, 0);
  assert.equal(page.store.titleOf(conversation), "Ops");
  assert.equal(page.chat.resume()[OPS], undefined);
  page.socket.say(roomEntry(9, { change: "add", user: "ann", room: room({ modified: 3 }) }));
  assert.equal(conversation.problem, null);
});

test("being removed while away is said at the next sign-in, and the room is not asked for again", async () => {
  const page = await withRooms([room()]);
  await page.reply("join", { head: 1, online: 1, roster: [], messages: [entry(1, { dest: OPS })] });
  await page.drop();
  page.socket.accept();
  page.socket.say({ type: 1000, re: page.socket.last("hello").id, data: readyData() });
  assert.equal(page.socket.last("hello").data.resume[OPS], 1);
  const refused = { code: "not_found", reason: "there is no such room", retry: false };
  page.socket.say({ type: "error", dest: OPS, data: refused });
  for (const { id, dest } of page.socket.all("join")) if (dest === OPS) page.socket.say({ type: "error", re: id, dest, data: refused });
  await settled();
  const conversation = page.store.conversation(OPS);
  assert.match(conversation.problem ?? "", /^You do not belong to this room any more/);
  assert.deepEqual([conversation.wanted, conversation.log.size], [false, 1]);
  assert.equal(page.chat.resume()[OPS], undefined);
});

test("a room that was made again under its old address goes on behind the old one", async () => {
  const page = await withRooms([room()]);
  await page.reply("join", { head: 2, online: 1, roster: [], messages: [entry(1, { dest: OPS }), entry(2, { dest: OPS })] });
  await page.drop();
  await page.welcome({}, null);
  // What came after entry 2 is gone with the old room.
  page.socket.say(roomEntry(7, { change: "create", title: "Ops", room: room({ created: 9, modified: 9 }) }));
  page.clock.pass(1000);
  await settled();
  assert.deepEqual(page.socket.last("history").data, { after: 2, limit: 200 });
  await page.reply("history", { messages: [roomEntry(7, { change: "create", title: "Ops", room: room({ created: 9, modified: 9 }) })], more: false });
  assert.deepEqual([page.store.conversation(OPS).log.first, page.store.conversation(OPS).log.last], [7, 7]);
});

test("leaving takes it off the list, whichever comes first, the answer or the entry", async () => {
  for (const answerFirst of [true, false]) {
    const page = await withRooms([room()]);
    await page.reply("join", { head: 1, online: 1, roster: [], messages: [entry(1, { dest: OPS })] });
    void page.chat.open(OPS);
    const left = page.chat.rooms.remove(OPS, "ann");
    const without = room({ members: ["bob"], modified: 2 });
    const happened = () => page.socket.say(roomEntry(2, { change: "remove", user: "ann", room: without }, { from: "ann", name: "Ann" }));
    if (!answerFirst) happened();
    await page.reply("member.remove", without);
    await left;
    if (answerFirst) happened();
    assert.deepEqual(listed(page), ["public"]);
    assert.equal(page.store.active, "public");
    assert.equal(page.store.rooms.has("ops"), false);
  }
});

test("a deleted room is said to be gone, with everything in it", async () => {
  const page = await withRooms([room()]);
  await page.reply("join", { head: 1, online: 1, roster: [], messages: [entry(1, { dest: OPS })] });
  page.socket.say(roomEntry(2, { change: "delete", room: room() }));
  const conversation = page.store.conversation(OPS);
  assert.deepEqual([conversation.log.size, conversation.gone, conversation.problem], [0, true, "Bob deleted this room."]);
  page.chat.rooms.dismiss(OPS);
  assert.deepEqual(listed(page), ["public"]);
  page.socket.say(roomEntry(3, { change: "create", title: "Ops", room: room({ created: 9, modified: 9 }) }));
  const anew = page.store.conversation(OPS);
  assert.deepEqual([anew.log.first, anew.problem, anew.gone], [3, null, false]);
});

test("renaming and new members are shown at once, older news do not undo newer", async () => {
  const page = await withRooms([room()]);
  page.socket.say(roomEntry(1, { change: "update", title: "Operations", room: room({ title: "Operations", modified: 5 }) }));
  assert.equal(page.store.titleOf(page.store.conversation(OPS)), "Operations");
  await page.reply("join", { head: 1, online: 1, roster: [], messages: [roomEntry(1, { change: "update", room: room({ title: "Earlier", modified: 2 }) })] });
  assert.equal(page.store.rooms.get("ops")?.title, "Operations");
  page.socket.say(roomEntry(2, { change: "add", user: "cy", room: room({ title: "Operations", modified: 6, members: ["ann", "bob", "cy"] }) }));
  assert.deepEqual(page.store.rooms.get("ops")?.members, ["ann", "bob", "cy"]);
});

test("a guest of an open room that is closed to guests is told", async () => {
  const page = await withRooms([room({ open: true, members: ["bob"] })]);
  void page.chat.open(OPS);
  await settled();
  await page.reply("join", { head: 0, online: 1, roster: [], messages: [] });
  page.socket.say(roomEntry(1, { change: "update", open: false, room: room({ members: ["bob"], modified: 2 }) }));
  assert.match(page.store.conversation(OPS).problem ?? "", /^Bob has closed this room/);
  assert.equal(page.store.rooms.has("ops"), false);
});

test("unread counts of rooms come with 1000, go on live, and are cleared and told when read", async () => {
  const page = await withRooms([room()], { unread: { [OPS]: 2 } });
  const messages = [entry(1, { dest: OPS, from: "ann" }), entry(2, { dest: OPS }), entry(3, { dest: OPS, deleted: true, data: {} }), entry(4, { dest: OPS })];
  await page.reply("join", { head: 4, online: 1, roster: [], messages });
  const conversation = page.store.conversation(OPS);
  assert.deepEqual([conversation.unread, conversation.unreadFrom], [2, 2]);
  page.socket.say(entry(5, { dest: OPS }));
  assert.equal(page.store.unread, 3);
  page.store.attentive = true;
  void page.chat.open(OPS);
  page.chat.seen();
  page.clock.pass(600);
  assert.deepEqual(page.socket.last("read"), { type: "read", dest: OPS, data: { seq: 5 } });
  assert.equal(page.store.unread, 0);
  void page.chat.open(OPS);
  assert.equal(conversation.unreadFrom, 2, "a click on what is open already leaves the mark of what was new");
  void page.chat.open("public");
  assert.equal(conversation.unreadFrom, null);
});

test("what is read on another device is not new here any more", async () => {
  const page = new Page();
  await page.enter();
  for (let seq = 1; seq <= 3; seq += 1) page.socket.say(entry(seq, { dest: "private/ann" }));
  const conversation = page.store.conversation("private/bob");
  page.socket.say({ type: "receipt", from: "ann", dest: "private/bob", data: { read: 2 } });
  assert.deepEqual([conversation.unread, conversation.read], [1, 0]);
});

test("who writes on another device has read what is before it", async () => {
  const page = new Page();
  await page.enter();
  for (let seq = 1; seq <= 2; seq += 1) page.socket.say(entry(seq, { dest: "private/ann" }));
  const conversation = page.store.conversation("private/bob");
  assert.equal(conversation.unread, 2);
  page.socket.say(entry(3, { from: "ann", name: "Ann", dest: "private/bob" }));
  assert.deepEqual([conversation.unread, conversation.readSent], [0, 0], "but it was not looked at here");
  page.socket.say(entry(4, { dest: "private/ann" }));
  assert.equal(conversation.unread, 1);
});

test("people are found by those whom the page has met", async () => {
  const page = new Page();
  await page.enter({}, { online: 1, roster: [{ id: "cy", name: "Cy", state: "offline" }] });
  page.socket.say(entry(1, { dest: "private/ann" }));
  assert.deepEqual(page.store.people().map(({ id, name }) => `${id} ${name}`).sort(), ["bob Bob", "cy Cy"]);
});

test("many rooms are all listed, and a bounded number listened to", async () => {
  const page = await withRooms(Array.from({ length: 120 }, (_, i) => room({ id: `r${i}` })));
  assert.equal(listed(page).length, 121);
  assert.equal(page.socket.all("join").length, 51);
});

test("that somebody's page is open is a line in the public conversation only", async () => {
  const page = await withRooms([room()]);
  page.socket.say({ type: "presence", dest: OPS, data: { online: 2, joined: [{ id: "bob", name: "Bob" }], left: [] } });
  const conversation = page.store.conversation(OPS);
  assert.deepEqual([conversation.notes.lines.length, conversation.roster.get("bob")?.state], [0, "online"]);
});
