import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../js/connection.js";
import { FakeClock } from "./fake/clock.js";
import { FakeSocket, readyData } from "./fake/socket.js";

function setup() {
  const clock = new FakeClock();
  /** @type {FakeSocket[]} */
  const sockets = [];
  const connection = new Connection({
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    greeting: () => ({ name: "Ann", token: "t", log: "log-1", resume: { public: 41 } }),
    clock,
    random: () => 0,
  });
  /** @type {any[]} */
  const events = [];
  for (const type of ["ready", "frame", "refused"]) {
    connection.addEventListener(type, (event) => events.push([type, /** @type {CustomEvent} */ (event).detail]));
  }
  const socket = () => /** @type {FakeSocket} */ (sockets.at(-1));
  const welcome = () => {
    socket().accept();
    socket().say({ type: 1000, re: socket().last("hello").id, data: readyData() });
  };
  return { clock, sockets, connection, events, socket, welcome };
}

test("hello says who, and where to go on", () => {
  const { connection, socket, events, welcome } = setup();
  connection.start();
  assert.equal(connection.status.phase, "connecting");
  assert.deepEqual(socket().sent, []);
  welcome();
  const { id, ...hello } = socket().sent[0];
  assert.deepEqual(hello, { type: "hello", data: { name: "Ann", token: "t", log: "log-1", resume: { public: 41 } } });
  assert.equal(typeof id, "string");
  assert.equal(connection.status.phase, "ready");
  assert.equal(events[0][0], "ready");
});

test("a lost connection is tried again with growing delays, at once on demand", () => {
  const { connection, clock, sockets, socket } = setup();
  connection.start();
  const delays = [];
  for (let i = 0; i < 5; i += 1) {
    socket().end(1006);
    assert.equal(connection.status.phase, "waiting");
    const { retryAt } = connection.status;
    delays.push((retryAt ?? 0) - clock.now());
    clock.pass((retryAt ?? 0) - clock.now());
    assert.equal(sockets.length, i + 2);
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000, 4000]);
  socket().end(1006);
  connection.retryNow();
  assert.equal(connection.status.phase, "connecting");
  assert.equal(sockets.length, 7);
});

test("delays begin anew only after a session that lasted", () => {
  const { connection, clock, socket, welcome } = setup();
  connection.start();
  for (let i = 0; i < 4; i += 1) {
    welcome();
    clock.pass(100);
    socket().end(1006);
    clock.pass((connection.status.retryAt ?? 0) - clock.now());
  }
  welcome();
  socket().end(1006);
  assert.equal((connection.status.retryAt ?? 0) - clock.now(), 4000);
  clock.pass(4000);
  welcome();
  clock.pass(11_000);
  socket().end(1006);
  assert.equal((connection.status.retryAt ?? 0) - clock.now(), 250);
});

test("after bye it comes back when the server says, and no hint makes it earlier", () => {
  const { connection, clock, sockets, socket, welcome } = setup();
  connection.start();
  welcome();
  socket().say({ type: "bye", data: { retry_after: 5000 } });
  socket().end(1001);
  assert.equal((connection.status.retryAt ?? 0) - clock.now(), 5000);
  connection.probe();
  clock.pass(4999);
  assert.equal(sockets.length, 1);
  clock.pass(1);
  assert.equal(sockets.length, 2);
});

test("a bye without a close does not leave it hanging", () => {
  const { connection, clock, sockets, socket, welcome } = setup();
  connection.start();
  welcome();
  socket().say({ type: "bye", data: { retry_after: 100 } });
  clock.pass(5_000);
  assert.equal(connection.status.phase, "waiting");
  clock.pass(1_000);
  assert.equal(sockets.length, 2);
});

test("4400 is the end, 4401 asks for a new sign-in", () => {
  const first = setup();
  first.connection.start();
  first.welcome();
  first.socket().end(4400);
  assert.equal(first.connection.status.phase, "stopped");
  first.clock.pass(600_000);
  assert.equal(first.sockets.length, 1);

  const second = setup();
  second.connection.start();
  second.welcome();
  second.socket().end(4401);
  assert.equal(second.connection.status.phase, "idle");
  assert.equal(second.events.at(-1)[1].code, "unauthorized");
  second.clock.pass(600_000);
  assert.equal(second.sockets.length, 1);
});

test("4429 waits for the retry_after of the last error", () => {
  const { connection, clock, socket, welcome } = setup();
  connection.start();
  welcome();
  socket().say({ type: "error", data: { code: "rate_limited", reason: "Slow down.", retry_after: 8000 } });
  clock.pass(3000);
  socket().end(4429);
  assert.equal((connection.status.retryAt ?? 0) - clock.now(), 5000);
});

test("a refused name is told once, and another try uses the same socket", () => {
  const { connection, clock, sockets, socket, events } = setup();
  connection.start();
  socket().accept();
  socket().say({ type: "error", re: socket().last("hello").id, data: { code: "name_taken", reason: "Taken.", suggestion: "ann-2" } });
  assert.deepEqual(events, [["refused", { code: "name_taken", reason: "Taken.", suggestion: "ann-2" }]]);
  assert.equal(connection.status.phase, "idle");
  connection.start();
  assert.equal(sockets.length, 1);
  assert.equal(socket().all("hello").length, 2);
  socket().say({ type: "error", re: socket().last("hello").id, data: { code: "name_taken", reason: "Taken.", suggestion: "ann-3" } });
  socket().end(4408);
  clock.pass(600_000);
  assert.equal(sockets.length, 1, "nobody is waiting for an answer");
  connection.start();
  assert.equal(sockets.length, 2);
});

test("an unauthorized hello is told once, though the close says it too", () => {
  const { connection, socket, events, sockets, clock } = setup();
  connection.start();
  const first = socket();
  first.accept();
  first.say({ type: "error", re: first.last("hello").id, data: { code: "unauthorized", reason: "No." } });
  first.end(4401);
  assert.equal(events.length, 1);
  clock.pass(600_000);
  assert.equal(sockets.length, 1);
});

test("a server without its store is tried again", () => {
  const { connection, clock, socket, sockets, events } = setup();
  connection.start();
  socket().accept();
  socket().say({ type: "error", re: socket().last("hello").id, data: { code: "unavailable", reason: "The store is away.", retry: true, retry_after: 3000 } });
  assert.deepEqual(events, []);
  assert.equal(connection.status.phase, "waiting");
  assert.equal(connection.status.reason, "The store is away.");
  clock.pass(2999);
  assert.equal(sockets.length, 1);
  clock.pass(1);
  assert.equal(sockets.length, 2);
});

test("silence is answered with a ping, and silence after that is a dead network", () => {
  const { connection, clock, socket, sockets, welcome } = setup();
  connection.start();
  welcome();
  clock.pass(24_000);
  assert.equal(socket().all(1001).length, 0);
  clock.pass(1_000);
  assert.equal(socket().all(1001).length, 1);
  socket().say({ type: 1002 });
  clock.pass(20_000);
  assert.equal(connection.status.phase, "ready");
  clock.pass(5_000);
  assert.equal(socket().all(1001).length, 2);
  clock.pass(9_999);
  assert.equal(connection.status.phase, "ready");
  const dead = socket();
  clock.pass(1);
  assert.equal(connection.status.phase, "waiting");
  assert.equal(dead.closed, true);
  clock.pass(1_000);
  assert.equal(sockets.length, 2);
});

test("whoever is talking needs no ping", () => {
  const { connection, clock, socket, welcome } = setup();
  connection.start();
  welcome();
  for (let i = 0; i < 20; i += 1) {
    clock.pass(20_000);
    socket().say({ type: "presence", dest: "public", data: {} });
  }
  assert.equal(socket().all(1001).length, 0);
});

test("a hint at a new network is checked quickly", () => {
  const { connection, clock, socket, welcome } = setup();
  connection.start();
  welcome();
  connection.probe();
  connection.probe();
  assert.equal(socket().all(1001).length, 1);
  clock.pass(4_000);
  assert.equal(connection.status.phase, "waiting");
});

test("the server's ping is answered, also before 1000", () => {
  const { connection, socket } = setup();
  connection.start();
  socket().accept();
  socket().say({ type: 1001 });
  assert.deepEqual(socket().sent.at(-1), { type: 1002 });
});

test("a server that takes no connection, or does not answer hello, is given up after a while", () => {
  const { connection, clock, socket, sockets } = setup();
  connection.start();
  clock.pass(10_000);
  assert.equal(connection.status.phase, "waiting");
  clock.pass(250);
  assert.equal(sockets.length, 2);
  socket().accept();
  clock.pass(10_000);
  assert.equal(connection.status.phase, "waiting");
});

test("nothing of an old socket reaches the new session", () => {
  const { connection, clock, sockets, socket, welcome, events } = setup();
  connection.start();
  welcome();
  socket().end(1006);
  clock.pass(1_000);
  welcome();
  const count = events.length;
  sockets[0]?.say({ type: "msg", seq: 1 });
  sockets[0]?.end(4400);
  assert.equal(events.length, count);
  assert.equal(connection.status.phase, "ready");
});

test("signing out is silent and final", () => {
  const { connection, clock, sockets, socket, welcome } = setup();
  connection.start();
  welcome();
  connection.stop();
  assert.equal(socket().closed, true);
  assert.equal(connection.send({ type: "msg" }), false);
  clock.pass(600_000);
  assert.equal(sockets.length, 1);
  assert.equal(clock.waiting, 0);
});
