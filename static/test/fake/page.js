/** The page without its views: connection, store, outbox and chat, on a fake socket and a fake clock. */

import { Chat } from "../../js/chat.js";
import { Connection } from "../../js/connection.js";
import { Outbox } from "../../js/outbox.js";
import { memoryBox } from "../../js/storage.js";
import { Store } from "../../js/store.js";
import { FakeClock, settled } from "./clock.js";
import { FakeSocket, readyData } from "./socket.js";

export class Page {
  clock = new FakeClock();
  /** @type {FakeSocket[]} */
  sockets = [];
  box;

  /** @param {import("../../js/storage.js").Box} [box] */
  constructor(box = memoryBox()) {
    this.box = box;
    this.store = new Store(this.clock);
    this.outbox = new Outbox(box);
    /** @type {Connection} */
    this.connection = new Connection({
      open: () => {
        this.sockets.push(new FakeSocket());
        return this.socket;
      },
      greeting: () => ({ name: "Ann", token: null, log: this.store.logId, resume: this.chat.resume() }),
      clock: this.clock,
      random: () => 0.5,
    });
    this.chat = new Chat({ connection: this.connection, store: this.store, outbox: this.outbox, clock: this.clock, random: () => 0.5 });
  }

  /** The newest socket. @returns {FakeSocket} */
  get socket() {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("no socket was opened");
    return socket;
  }

  get public() {
    return this.store.conversation("public");
  }

  get seqs() {
    const { log } = this.public;
    return Array.from({ length: log.size }, (_, i) => log.at(log.first + i)?.seq);
  }

  /** Signs in and joins. @param {object} [ready] @param {object | null} [joined]  Null: join is not answered. */
  async enter(ready, joined) {
    this.connection.start();
    await this.welcome(ready, joined);
  }

  /** @param {object} [ready] @param {object | null} [joined]  Null: join is not answered. */
  async welcome(ready, joined) {
    this.socket.accept();
    this.socket.say({ type: 1000, re: this.socket.last("hello").id, data: readyData(ready) });
    await settled();
    if (joined !== null) await this.reply("join", { online: 1, roster: [], head: 0, messages: [], ...joined });
  }

  /** Answers the newest question of a type. @param {string} type @param {object} data */
  async reply(type, data) {
    this.socket.say({ type: "reply", re: this.socket.last(type).id, data });
    await settled();
  }

  /** The network goes away, and the page comes back after its delay. */
  async drop(code = 1006) {
    this.socket.end(code);
    await settled();
    this.clock.pass(40_000);
  }
}

/** @param {number} seq @param {object} [more] @returns {any} */
export const entry = (seq, more = {}) => ({
  type: "msg", id: `m${seq}`, dest: "public", from: "bob", name: "Bob", seq, time: 1_700_000_000_000 + seq, data: { text: `text ${seq}` }, ...more,
});

/** @param {number} first @param {number} last */
export const entries = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => entry(first + i));

/** @param {object} [more] @returns {any} */
export const room = (more = {}) => ({ id: "ops", title: "Ops", open: false, owner: "bob", members: ["ann", "bob"], created: 1, modified: 1, head: 0, ...more });

/** An entry of a room's log. @param {number} seq @param {object} data @param {object} [more] @returns {any} */
export const roomEntry = (seq, data, more = {}) => entry(seq, { type: "room", dest: "rooms/ops", data, ...more });
