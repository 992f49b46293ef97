import assert from "node:assert/strict";
import { test } from "node:test";
import { Admission, subject } from "../js/admission.js";
import { Connection } from "../js/connection.js";
import { Requests } from "../js/requests.js";
import { Site } from "../js/site.js";
import { FakeClock, settled } from "./fake/clock.js";
import { FakeSocket, readyData } from "./fake/socket.js";

const SHOP = "https://shop.example";

/** A token of which only the claims count here. @param {string} sub @param {number} [number] */
const token = (sub, number = 1) => `e30.${Buffer.from(JSON.stringify({ iss: "shop", sub })).toString("base64url")}.${number}`;

function setup({ embedded = true } = {}) {
  const clock = new FakeClock();
  /** @type {string[]} */
  const asked = [];
  const parent = { postMessage: (/** @type {any} */ message) => void asked.push(message.reason) };
  /** @type {(event: any) => void} */
  let hear = () => {};
  const site = new Site({ parent: embedded ? parent : null, origins: ["https://chat.example", SHOP], listen: (heard) => (hear = heard), clock });
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {Connection} */
  const connection = new Connection({
    open: () => {
      sockets.push(new FakeSocket());
      return /** @type {FakeSocket} */ (sockets.at(-1));
    },
    greeting: () => ({ token: admission.token, log: null, resume: {} }),
    clock,
    random: () => 0,
  });
  const requests = new Requests((frame) => connection.send(frame), clock);
  connection.addEventListener("frame", (event) => requests.answer(/** @type {CustomEvent} */ (event).detail));
  connection.addEventListener("status", () => {
    if (!connection.ready) requests.disconnected();
  });
  /** @type {string[]} */
  const events = [];
  const leave = () => {
    events.push("leave");
    connection.stop();
  };
  /** @type {Admission} */
  const admission = new Admission({ site, connection, requests, clock, leave });
  admission.addEventListener("asked", (event) => events.push(`asked ${/** @type {CustomEvent} */ (event).detail}`));
  admission.addEventListener("out", () => events.push("out"));
  site.addEventListener("silent", () => events.push("silent"));
  const socket = () => /** @type {FakeSocket} */ (sockets.at(-1));
  /** @param {any} data @param {{ origin?: string, source?: any }} [from] */
  const post = (data, { origin = SHOP, source = parent } = {}) => hear({ source, origin, data });
  const give = (/** @type {string | null} */ given) => post({ type: "mqttchat.token", token: given });
  const welcome = (more = {}) => {
    socket().accept();
    socket().say({ type: 1000, re: socket().last("hello").id, data: readyData({ token: null, ...more }) });
  };
  return { clock, asked, site, sockets, socket, connection, admission, events, post, give, welcome };
}

test("the site is asked until it answers, and its token signs in", () => {
  const { clock, asked, sockets, socket, admission, events, give, welcome, connection } = setup();
  admission.start();
  assert.deepEqual(asked, ["start"]);
  clock.pass(7_000);
  assert.deepEqual(asked, ["start", "start", "start", "start"]);
  assert.equal(sockets.length, 0);
  clock.pass(1_000);
  assert.equal(events.at(-1), "silent");
  give(token("ann"));
  welcome();
  assert.deepEqual(socket().last("hello").data, { token: token("ann"), log: null, resume: {} });
  assert.equal(connection.ready, true);
  clock.pass(120_000);
  assert.equal(asked.length, 4);
});

test("only the window around the page, under an origin that the server has named, gives tokens", () => {
  const { admission, sockets, post, connection } = setup();
  admission.start();
  const message = { type: "mqttchat.token", token: token("ann") };
  post(message, { origin: "https://evil.example" });
  post(message, { origin: "null" });
  post(message, { origin: "" });
  post(message, { source: { postMessage() {} } });
  post(message, { source: null });
  for (const data of [null, "mqttchat.token", { token: token("ann") }, { type: "mqttchat.token-wanted" }, 7]) post(data);
  assert.deepEqual([sockets.length, connection.status.phase], [0, "idle"]);
  post(message, { origin: "https://chat.example" });
  assert.equal(sockets.length, 1, "a page of the server's own may, too");
});

test("a page that nothing is around asks nobody", () => {
  const { admission, asked, clock, post, sockets } = setup({ embedded: false });
  admission.start();
  post({ type: "mqttchat.token", token: token("ann") });
  clock.pass(60_000);
  assert.deepEqual([asked, sockets.length], [[], 0]);
});

test("a fresh token is shown before the old one ends, in the same session", async () => {
  const { clock, asked, sockets, socket, admission, give, welcome } = setup();
  admission.start();
  give(token("ann", 1));
  welcome({ expires: clock.now() + 600_000, limits: { ping: 3_600_000 } });
  asked.length = 0;
  clock.pass(539_000);
  assert.deepEqual(asked, []);
  clock.pass(1_000);
  assert.deepEqual(asked, ["expires"]);
  give(token("ann", 1));
  clock.pass(1_000);
  assert.deepEqual(asked, ["expires", "expires"], "the one that there is says nothing new");
  give(token("ann", 2));
  const shown = socket().last("token");
  assert.deepEqual(shown.data, { token: token("ann", 2) });
  socket().say({ type: "reply", re: shown.id, data: { expires: clock.now() + 30_000 } });
  await settled();
  asked.length = 0;
  clock.pass(19_000);
  assert.deepEqual(asked, []);
  clock.pass(1_000);
  assert.deepEqual(asked, ["expires"], "in time, also where tokens are short");
  assert.equal(sockets.length, 1);
});

test("a session that was closed for its token comes back with another", () => {
  const { clock, asked, sockets, socket, admission, give, welcome, events } = setup();
  admission.start();
  give(token("ann", 1));
  welcome({ expires: clock.now() + 600_000 });
  asked.length = 0;
  socket().end(4401);
  assert.deepEqual(asked, ["refused"]);
  give(token("ann", 2));
  welcome({ expires: clock.now() + 600_000 });
  assert.equal(sockets.length, 2);
  assert.equal(socket().last("hello").data.token, token("ann", 2));
  assert.ok(events.every((event) => event === "asked "), "nothing to tell, and nobody has left");
});

test("tokens that are refused again and again are asked for ever less, and somebody is told why", () => {
  const { clock, asked, socket, admission, give, events } = setup();
  admission.start();
  const refuse = (/** @type {number} */ number) => {
    give(token("ann", number));
    socket().accept();
    asked.length = 0;
    socket().say({ type: "error", re: socket().last("hello").id, data: { code: "unauthorized", reason: "No.", retry: false } });
  };
  refuse(1);
  assert.deepEqual(asked, ["refused"]);
  for (const [number, pause] of [[2, 2_000], [3, 4_000], [4, 8_000]]) {
    refuse(number ?? 0);
    assert.equal(events.at(-1), "asked No.");
    clock.pass((pause ?? 0) - 1);
    assert.deepEqual(asked, []);
    clock.pass(1);
    assert.deepEqual(asked, ["refused"]);
  }
});

test("a token that needs another session opens one, and somebody else leaves nothing behind", async () => {
  const { sockets, socket, admission, give, welcome, events } = setup();
  admission.start();
  give(token("ann", 1));
  welcome();
  give(token("ann", 2));
  socket().say({ type: "error", re: socket().last("token").id, data: { code: "unauthorized", reason: "For other rooms.", retry: false } });
  await settled();
  assert.equal(sockets.length, 2);
  welcome();
  assert.ok(!events.includes("leave"));
  give(token("bob"));
  assert.ok(events.includes("leave"));
  welcome({ user: { id: "bob", name: "Bob" } });
  assert.equal(socket().last("hello").data.token, token("bob"));
  give(null);
  assert.equal(events.at(-1), "out");
  assert.equal(sockets.length, 3);
});

test("a clock that is wrong asks no faster", () => {
  const { clock, asked, admission, give, welcome } = setup();
  admission.start();
  give(token("ann"));
  welcome({ expires: clock.now() - 3_600_000 });
  asked.length = 0;
  clock.pass(19_000);
  assert.deepEqual(asked, []);
  clock.pass(1_000);
  assert.deepEqual(asked, ["expires"]);
});

test("while the server is away, the newest token is for the next hello", () => {
  const { clock, socket, sockets, admission, give, connection } = setup();
  admission.start();
  give(token("ann", 1));
  socket().end(1006);
  assert.equal(connection.status.phase, "waiting");
  give(token("ann", 2));
  assert.equal(sockets.length, 1, "a new token is no reason to hurry");
  clock.pass(1_000);
  socket().accept();
  assert.equal(socket().last("hello").data.token, token("ann", 2));
  give(token("ann", 3));
  socket().end(4401);
  assert.equal(sockets.length, 3);
  socket().accept();
  assert.equal(socket().last("hello").data.token, token("ann", 3), "it came while the other was refused");
});

test("what is no token is nobody's", () => {
  assert.equal(subject("x"), "");
  assert.equal(subject("a.b.c"), "");
  assert.equal(subject(token("grüße")), subject(token("grüße", 2)));
  assert.notEqual(subject(token("ann")), subject(token("bob")));
});
