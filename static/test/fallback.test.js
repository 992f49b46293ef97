import assert from "node:assert/strict";
import { test } from "node:test";
import { Fallback } from "../js/fallback.js";
import { FakeClock } from "./fake/clock.js";
import { FakeSocket } from "./fake/socket.js";

function setup() {
  const clock = new FakeClock();
  /** @type {{way: string, socket: FakeSocket}[]} */
  const opened = [];
  const server = { reachable: true };
  const open = (/** @type {string} */ way) => {
    const socket = new FakeSocket();
    opened.push({ way, socket });
    return socket;
  };
  const fallback = new Fallback({
    websocket: () => open("websocket"),
    sockjs: (streaming) => open(streaming ? "streaming" : "polling"),
    reachable: () => Promise.resolve(server.reachable),
    clock,
  });
  /** @type {any[]} */
  const events = [];
  const connect = () => {
    const socket = fallback.open();
    socket.onopen = () => events.push("open");
    socket.onmessage = (event) => events.push(event.data);
    socket.onclose = (event) => events.push(event.code);
    return socket;
  };
  const last = () => /** @type {typeof opened[0]} */ (opened.at(-1));
  const ways = () => opened.map(({ way }) => way);
  const settle = () => new Promise((done) => setImmediate(done));
  return { fallback, clock, opened, server, connect, events, last, ways, settle };
}

test("a WebSocket that opens is used as it is", () => {
  const { connect, events, last, ways } = setup();
  const socket = connect();
  last().socket.accept();
  socket.send('{"type":1001}');
  last().socket.say({ type: 1002 });
  last().socket.end(4408);
  assert.deepEqual(events, ["open", '{"type":1002}', 4408]);
  assert.deepEqual(last().socket.sent, [{ type: 1001 }, { type: 1001 }], "one to see whether it is answered");
  assert.deepEqual(ways(), ["websocket"]);
});

test("a WebSocket that opens and brings nothing gives place to the next", async () => {
  const { connect, clock, opened, events, last, ways, settle } = setup();
  connect();
  last().socket.accept();
  clock.pass(6_000);
  await settle();
  assert.ok(last().socket.closed);
  assert.deepEqual(events, ["open", 1006]);
  connect();
  last().socket.accept();
  assert.deepEqual([ways(), events], [["websocket", "streaming"], ["open", 1006, "open"]]);
  clock.pass(5 * 60_000);
  last().socket.accept();
  clock.pass(3_000);
  assert.deepEqual(events, ["open", 1006, "open"], "nor is it taken later");
  assert.ok(last().socket.closed && !opened[1]?.socket.closed);
});

test("a WebSocket that is cut off at once gives place to the next, where the server is there", async () => {
  for (const reachable of [true, false]) {
    const { connect, clock, server, events, last, ways, settle } = setup();
    server.reachable = reachable;
    connect();
    last().socket.accept();
    last().socket.end(1006);
    await settle();
    assert.deepEqual([events, clock.waiting], [["open", 1006], 0]);
    connect();
    assert.deepEqual(ways(), ["websocket", reachable ? "streaming" : "websocket"]);
  }
});

test("where WebSockets are refused SockJS is used, and they are left alone for a while", async () => {
  const { connect, clock, events, last, ways, settle } = setup();
  connect();
  last().socket.end(1006);
  await settle();
  last().socket.accept();
  assert.deepEqual([ways(), events], [["websocket", "streaming"], ["open"]]);
  last().socket.end(1006);
  connect();
  assert.deepEqual(ways(), ["websocket", "streaming", "streaming"]);
  last().socket.accept();
  last().socket.end(1006);
  clock.pass(5 * 60_000);
  connect();
  assert.equal(last().way, "websocket");
});

test("a way that hangs gives place to the next", async () => {
  const { connect, clock, opened, events, last, ways, settle } = setup();
  connect();
  clock.pass(3_000);
  await settle();
  clock.pass(3_000);
  assert.deepEqual(ways(), ["websocket", "streaming", "polling"]);
  assert.ok(opened[0]?.socket.closed && opened[1]?.socket.closed);
  last().socket.accept();
  assert.deepEqual(events, ["open"]);
});

test("a server that is down is not looked for in other ways", async () => {
  const { connect, server, events, last, ways, settle } = setup();
  server.reachable = false;
  connect();
  last().socket.end(1006);
  await settle();
  assert.deepEqual([ways(), events], [["websocket"], [1006]]);
});

test("nothing is left to try", async () => {
  const { connect, events, last, settle, clock } = setup();
  connect();
  for (let i = 0; i < 3; i += 1) {
    last().socket.end(1006);
    await settle();
  }
  assert.deepEqual(events, [1006]);
  assert.equal(clock.waiting, 0);
});

test("later a WebSocket is tried beside, and taken when it opens", async () => {
  const { connect, clock, opened, events, last, ways, settle } = setup();
  connect();
  last().socket.end(1006);
  await settle();
  last().socket.accept();
  clock.pass(5 * 60_000);
  assert.equal(last().way, "websocket");
  last().socket.end(1006);
  assert.deepEqual(events, ["open"], "the session goes on");
  clock.pass(5 * 60_000);
  assert.equal(ways().filter((way) => way === "websocket").length, 3);
  last().socket.accept();
  last().socket.say({ type: 1002 });
  assert.deepEqual(events, ["open", 1006]);
  assert.ok(opened.every(({ socket }, index) => index === 0 || index === 2 || socket.closed));
  connect();
  assert.equal(last().way, "websocket");
});

test("in another network a WebSocket is tried at once", async () => {
  const { fallback, connect, clock, events, last, ways, settle } = setup();
  fallback.again();
  connect();
  last().socket.end(1006);
  fallback.again();
  await settle();
  assert.deepEqual(ways(), ["websocket", "streaming"], "while it looks for a way it goes on looking");
  last().socket.accept();
  fallback.again();
  fallback.again();
  assert.deepEqual(ways(), ["websocket", "streaming", "websocket"], "one at a time");
  last().socket.end(1006);
  assert.deepEqual([events, clock.waiting], [["open"], 1], "the session goes on, and there is a next time");
  fallback.again();
  last().socket.accept();
  last().socket.say({ type: 1002 });
  assert.deepEqual([events, clock.waiting], [["open", 1006], 0]);
  connect();
  last().socket.accept();
  last().socket.say({ type: 1002 });
  const count = ways().length;
  fallback.again();
  assert.deepEqual([last().way, ways().length], ["websocket", count], "there is one already");
});

test("who was on a detour begins with a WebSocket in another network", async () => {
  const { fallback, connect, last, ways, settle } = setup();
  const socket = connect();
  last().socket.end(1006);
  await settle();
  last().socket.accept();
  socket.close();
  fallback.again();
  connect();
  assert.deepEqual(ways(), ["websocket", "streaming", "websocket"]);
});

test("closing ends whatever is tried", async () => {
  const { connect, clock, events, last, ways, settle } = setup();
  const socket = connect();
  last().socket.end(1006);
  socket.close();
  await settle();
  assert.deepEqual([ways(), events, clock.waiting], [["websocket"], [], 0]);
});
