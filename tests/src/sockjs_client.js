// What SockJS's own client is asked to do, in Node and in browsers.

// Over one transport somebody comes in, says something, is answered, and sends and gets a text as large as they may be.
async function talk(SockJS, base, transport, name, large) {
  const greeting = await (await fetch(`${base}/`)).text();
  const socket = new SockJS(base, null, { transports: [transport], timeout: 30_000 });
  const frames = [];
  let [closed, wake] = [null, () => {}];
  const until = async (what, found) => {
    for (;;) {
      const value = found();
      if (value !== undefined) return value;
      if (closed !== null) throw new Error(`${transport}: closed (${closed}) without ${what}`);
      await new Promise((resolve) => (wake = resolve));
    }
  };
  const expect = (what, isIt) => until(what, () => frames.find(isIt));
  let used;
  socket.onopen = () => wake((used = socket.transport));
  socket.onmessage = ({ data }) => wake(frames.push(JSON.parse(data)));
  socket.onclose = ({ code, reason }) => wake((closed = `${code} ${reason}`));
  await until("having been open", () => used);
  const send = (frame) => socket.send(JSON.stringify(frame));
  const say = async (id, text) => {
    send({ type: "msg", id, dest: "public", data: { text } });
    await expect(`an answer to ${id}`, (frame) => frame.type === 100 && frame.data === id);
  };
  const hear = (from, text) =>
    expect(`a text of ${from}`, (frame) => frame.type === "msg" && frame.from === from && frame.data.text === text);

  send({ type: "hello", id: "hello", data: { name } });
  const ready = await expect("1000", (frame) => frame.type === 1000);
  send({ type: "join", id: "join", dest: "public", data: {} });
  await expect("that we have joined", (frame) => frame.type === "reply" && frame.re === "join");
  await say("m1", `hello from ${name}`);
  await hear("bob", `hello to ${name}`);
  await say("m2", large);
  await hear(ready.data.user.id, large);
  await hear("bob", large);
  socket.close();
  await until("its end", () => closed ?? undefined);
  return { greeting, used, closed };
}

// Over one transport somebody tries to come in. Gives "open", or the code with which it failed.
function attempt(SockJS, base, transport, timeout) {
  return new Promise((resolve) => {
    const socket = new SockJS(base, null, { transports: [transport], timeout });
    socket.onopen = () => {
      resolve([transport, "open"]);
      socket.close();
    };
    socket.onclose = ({ code }) => resolve([transport, code]);
  });
}
