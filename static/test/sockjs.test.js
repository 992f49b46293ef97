import assert from "node:assert/strict";
import { test } from "node:test";
import { SockJsSocket } from "../js/sockjs.js";

/** A server that answers when the test says so. */
function setup(streaming = true) {
  /** @type {{door: string, body: string | null, signal: AbortSignal, answer: (response: Response) => void}[]} */
  const requests = [];
  const waiting = { come: () => {} };
  /** @type {any} */
  const fetch = (/** @type {string} */ url, /** @type {any} */ { body, signal }) =>
    new Promise((answer, fail) => {
      signal.addEventListener("abort", () => fail(signal.reason));
      requests.push({ door: url.split("/").at(-1) ?? "", body, signal, answer });
      waiting.come();
    });
  let ids = 100;
  const socket = new SockJsSocket({ base: "/sockjs", streaming, fetch, newId: () => String((ids += 1)) });
  /** @type {any[]} */
  const events = [];
  socket.onopen = () => events.push("open");
  socket.onmessage = (event) => events.push(event.data);
  socket.onclose = (event) => events.push(event.code);
  /** The next request for a door. @param {string} door */
  const request = async (door) => {
    for (;;) {
      const index = requests.findIndex((each) => each.door === door);
      if (index >= 0) return /** @type {typeof requests[0]} */ (requests.splice(index, 1)[0]);
      await new Promise((come) => (waiting.come = () => come(undefined)));
    }
  };
  /** A response that goes on. */
  const stream = () => {
    /** @type {ReadableStreamDefaultController<Uint8Array>} */
    let controller;
    const body = new ReadableStream({ start: (given) => void (controller = given) });
    return {
      response: new Response(body),
      write: (/** @type {string | Uint8Array} */ text) =>
        controller.enqueue(typeof text === "string" ? new TextEncoder().encode(text) : text),
      end: () => controller.close(),
      fail: () => controller.error(new Error("lost")),
    };
  };
  const settle = () => new Promise((done) => setImmediate(done));
  return { socket, events, request, requests, stream, settle };
}

test("frames come in whatever pieces a stream has", async () => {
  const { events, request, stream, settle, socket } = setup();
  const { response, write, end } = stream();
  assert.equal(socket.url, "/sockjs/101/102");
  (await request("xhr_streaming")).answer(response);
  write(`${"h".repeat(2048)}\no\na["o`);
  await settle();
  assert.deepEqual(events, ["open"]);
  const bytes = new TextEncoder().encode('ne","zwö"]\nh\n');
  write(bytes.slice(0, 8));
  write(bytes.slice(8));
  await settle();
  assert.deepEqual(events, ["open", "one", "zwö"]);
  end();
  const next = stream();
  (await request("xhr_streaming")).answer(next.response);
  next.write('a["three"]\nc[4408,"no answer"]\n');
  await settle();
  assert.deepEqual(events, ["open", "one", "zwö", "three", 4408]);
});

test("polls follow each other", async () => {
  const { events, request, settle } = setup(false);
  (await request("xhr")).answer(new Response("o\n"));
  (await request("xhr")).answer(new Response('a["x"]\n'));
  (await request("xhr")).answer(new Response("h\n"));
  (await request("xhr")).answer(new Response('c[2010,"Another connection still open"]\n'));
  await settle();
  assert.deepEqual(events, ["open", "x", 1006]);
});

test("what is sent goes out in order, one request at a time", async () => {
  const { socket, request, requests, settle } = setup(false);
  assert.throws(() => socket.send("early"));
  (await request("xhr")).answer(new Response("o\n"));
  await settle();
  for (const text of ["1", "2", "3"]) socket.send(text);
  const first = await request("xhr_send");
  assert.equal(first.body, '["1"]');
  assert.equal(requests.filter((each) => each.door === "xhr_send").length, 0);
  first.answer(new Response(null, { status: 204 }));
  const second = await request("xhr_send");
  assert.equal(second.body, '["2","3"]');
  second.answer(new Response(null, { status: 204 }));
});

test("a request that fails ends the session, and closing ends its requests", async () => {
  for (const status of [404, 500, 503]) {
    const { socket, events, request, settle } = setup(false);
    (await request("xhr")).answer(new Response("o\n"));
    await settle();
    socket.send("x");
    (await request("xhr_send")).answer(new Response("", { status }));
    await settle();
    assert.deepEqual(events, ["open", 1006], `${status}`);
  }
  const lost = setup();
  const body = lost.stream();
  (await lost.request("xhr_streaming")).answer(body.response);
  body.write("o\n");
  await lost.settle();
  body.fail();
  await lost.settle();
  assert.deepEqual(lost.events, ["open", 1006]);

  const closed = setup(false);
  const poll = await closed.request("xhr");
  closed.socket.close();
  assert.equal(poll.signal.aborted, true);
  await closed.settle();
  assert.deepEqual(closed.events, [1000]);
});

test("a session that the server has forgotten is over", async () => {
  const { events, request, settle } = setup(false);
  (await request("xhr")).answer(new Response("o\n"));
  (await request("xhr")).answer(new Response("o\n"));
  await settle();
  assert.deepEqual(events, ["open", 1006]);
});
