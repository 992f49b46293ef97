/**
 * The way to the server: a WebSocket where one comes through, else SockJS, streaming before polling. A network that
 * blocked WebSockets is asked again after a while, and another network at once.
 *
 * @typedef {import("./connection.js").Socket} Socket
 *
 * @typedef {object} Ways
 * @property {() => Socket} websocket
 * @property {(streaming: boolean) => Socket} sockjs
 * @property {() => Promise<boolean>} reachable  Whether the server answers plain requests.
 * @property {import("./clock.js").Clock} clock
 */

import { PING } from "./protocol.js";

/** How long a way may take to open before the next is tried. */
const PATIENCE_MS = 3_000;
/** How long an open WebSocket may take to bring anything. */
const ANSWER_MS = 6_000;
/** How long a way that was found blocked is not tried again. */
const AGAIN_MS = 5 * 60_000;

/** @typedef {"websocket" | "streaming" | "polling"} Way */
/** @type {Way[]} */
const WAYS = ["websocket", "streaming", "polling"];

export class Fallback {
  /** The first way to try, and until when those before it are left out (Unix time in ms). */
  #first = 0;
  #until = 0;
  /** The newest socket. @type {FallbackSocket | null} */
  #socket = null;

  /** @param {Ways} ways */
  constructor(ways) {
    this.ways = ways;
  }

  /** A socket that opens by the first way that leads to the server. @returns {Socket} */
  open() {
    if (this.ways.clock.now() >= this.#until) this.#first = 0;
    this.#socket = new FallbackSocket(this.ways, this.#first, (index) => this.#works(index));
    return this.#socket;
  }

  /** The network may be another one: what was found blocked is tried again now. */
  again() {
    this.#until = 0;
    this.#socket?.again();
  }

  /** @param {number} index */
  #works(index) {
    if (index > this.#first) this.#until = this.ways.clock.now() + AGAIN_MS;
    this.#first = index;
  }
}

/** @implements {Socket} */
class FallbackSocket {
  /** @type {((event: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;
  /** @type {Socket | null} */
  #socket = null;
  /** A WebSocket that only shows whether one comes through by now. @type {Socket | null} */
  #trial = null;
  /** @type {any} */
  #timer = null;
  /** It is open, and not by a WebSocket. */
  #detour = false;
  #over = false;

  /** @param {Ways} ways @param {number} first @param {(index: number) => void} works */
  constructor(ways, first, works) {
    this.ways = ways;
    this.works = works;
    this.#attempt(first, first === 0);
  }

  /** @param {string} text */
  send(text) {
    this.#socket?.send(text);
  }

  /** @param {number} [code] */
  close(code) {
    this.#over = true;
    this.#dropTrial();
    this.#drop(code);
  }

  /** Looks at once whether a WebSocket comes through by now, if there is none. */
  again() {
    if (this.#over || !this.#detour || this.#trial !== null) return;
    this.ways.clock.clear(this.#timer);
    this.#try();
  }

  /** @param {number} index @param {boolean} ask  Whether to ask if the server is there before the next way. */
  #attempt(index, ask) {
    const way = WAYS[index] ?? "polling";
    const socket = way === "websocket" ? this.ways.websocket() : this.ways.sockjs(way === "streaming");
    this.#socket = socket;
    const next = () => {
      this.#drop();
      if (index + 1 >= WAYS.length) this.#end(1006);
      else if (ask) void this.#askAndGoOn(index + 1);
      else this.#attempt(index + 1, false);
    };
    this.#timer = this.ways.clock.set(next, PATIENCE_MS);
    socket.onopen = (event) => {
      this.ways.clock.clear(this.#timer);
      socket.onclose = (closed) => this.#end(closed.code);
      this.#detour = index > 0;
      if (this.#detour) {
        this.works(index);
        this.#timer = this.ways.clock.set(() => this.#try(), AGAIN_MS);
      } else {
        this.#expectAnswer(socket);
      }
      this.onopen?.(event);
    };
    socket.onmessage = (event) => this.onmessage?.(event);
    socket.onclose = next;
  }

  /** Some networks let a WebSocket open, and nothing through. @param {Socket} socket  A WebSocket, just opened. */
  #expectAnswer(socket) {
    const blocked = async () => {
      socket.onclose = null;
      if (await this.ways.reachable()) this.works(1);
      this.#end(1006);
    };
    this.#timer = this.ways.clock.set(() => void blocked(), ANSWER_MS);
    socket.onclose = ({ code }) => {
      this.ways.clock.clear(this.#timer);
      if (code === 1006) void blocked();
      else this.#end(code);
    };
    socket.onmessage = (event) => {
      this.ways.clock.clear(this.#timer);
      socket.onclose = (closed) => this.#end(closed.code);
      socket.onmessage = (later) => this.onmessage?.(later);
      this.works(0);
      this.onmessage?.(event);
    };
    socket.send(JSON.stringify({ type: PING }));
  }

  /** A server that is down is no reason to look for other ways to it. @param {number} index */
  async #askAndGoOn(index) {
    const reachable = await this.ways.reachable();
    if (this.#over) return;
    if (reachable) this.#attempt(index, false);
    else this.#end(1006);
  }

  /** Looks whether a WebSocket comes through by now; then the connection starts again, with one. */
  #try() {
    const trial = this.ways.websocket();
    this.#trial = trial;
    const later = () => {
      this.#dropTrial();
      this.#timer = this.ways.clock.set(() => this.#try(), AGAIN_MS);
    };
    this.#timer = this.ways.clock.set(later, PATIENCE_MS);
    trial.onclose = () => {
      this.ways.clock.clear(this.#timer);
      later();
    };
    trial.onopen = () => trial.send(JSON.stringify({ type: PING }));
    trial.onmessage = () => {
      this.works(0);
      this.#end(1006);
    };
  }

  /** @param {number} code */
  #end(code) {
    if (this.#over) return;
    this.close();
    this.onclose?.({ code });
  }

  #dropTrial() {
    const trial = this.#trial;
    this.#trial = null;
    if (trial !== null) forget(trial);
  }

  /** @param {number} [code] */
  #drop(code) {
    this.ways.clock.clear(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) forget(socket, code);
  }
}

/** @param {Socket} socket @param {number} [code] */
function forget(socket, code = 1000) {
  socket.onopen = socket.onmessage = socket.onclose = null;
  try {
    socket.close(code);
  } catch {
    // It was never open.
  }
}
