/**
 * Rooms: which there are, what their owners and members do with them, and what becomes of that here.
 */

import * as protocol from "./protocol.js";

/**
 * @typedef {import("./conversation.js").Conversation} Conversation
 * @typedef {import("./protocol.js").Entry} Entry
 * @typedef {import("./protocol.js").Room} Room
 */

/** Other ids that are tried where the one that fits the title is taken. */
const OTHER_IDS = 4;
/** Of the list of rooms. */
const PAGES = 10;
/** So many are listened to at once; the others are listed, and counted by the server at each sign-in. */
const JOINED_AT_MOST = 50;

export class Rooms {
  /**
   * @param {object} parts
   * @param {import("./store.js").Store} parts.store
   * @param {import("./outbox.js").Outbox} parts.outbox
   * @param {import("./requests.js").Requests} parts.requests
   * @param {(conversation: Conversation) => void} parts.join
   */
  constructor({ store, outbox, requests, join }) {
    this.store = store;
    this.outbox = outbox;
    this.requests = requests;
    this.join = join;
  }

  /** Asks which rooms there are, and joins those that this user belongs to. @throws {import("./requests.js").RequestError} */
  async list() {
    const { store } = this;
    const listed = await this.#all();
    store.rooms = new Map(listed.map((room) => [room.id, room]));
    const own = listed.filter((room) => store.belongs(room)).map((room) => this.#enlist(room));
    own.sort((a, b) => b.lastTime - a.lastTime);
    for (const conversation of own.slice(0, JOINED_AT_MOST)) this.join(conversation);
    for (const conversation of store.conversations.values()) {
      const room = store.roomOf(conversation);
      if (room !== undefined) conversation.title = room.title;
    }
    this.#changed();
  }

  /** @returns {Promise<Room[]>} */
  async #all() {
    /** @type {Room[]} */
    const listed = [];
    for (let page = 0; page < PAGES; page += 1) {
      const { rooms = [], more = false } = await this.requests.ask((id) => protocol.rooms(id, listed.at(-1)?.id ?? null));
      listed.push(.../** @type {Room[]} */ (rooms).filter(isRoom));
      if (more !== true || rooms.length === 0) break;
    }
    return listed;
  }

  /**
   * Makes a room. Without an id of the user's choice, another is taken where the one that fits the title is in use.
   * @param {{ title: string, open: boolean, members: string[], id?: string }} wish
   * @returns {Promise<string>} Its dest. @throws {import("./requests.js").RequestError}
   */
  async create({ title, open, members, id: wished = "" }) {
    const fitting = protocol.roomIdFor(title);
    for (let tries = 0; ; tries += 1) {
      const id = wished || anotherId(fitting, tries);
      const dest = protocol.roomDest(id);
      try {
        this.#took(await this.requests.command((re) => protocol.createRoom(re, dest, { title, open, members })));
        return dest;
      } catch (error) {
        const taken = /** @type {import("./requests.js").RequestError} */ (error).code === "conflict";
        if (!taken || wished !== "" || tries >= OTHER_IDS) throw error;
      }
    }
  }

  /** @param {string} dest @param {{ title?: string, open?: boolean }} change @throws {import("./requests.js").RequestError} */
  async update(dest, change) {
    this.#took(await this.requests.command((id) => protocol.updateRoom(id, dest, change)));
  }

  /** @param {string} dest @param {string} user @throws {import("./requests.js").RequestError} */
  async add(dest, user) {
    this.#took(await this.requests.command((id) => protocol.addMember(id, dest, user)));
  }

  /** @param {string} dest @param {string} user @throws {import("./requests.js").RequestError} */
  async remove(dest, user) {
    const room = await this.requests.command((id) => protocol.removeMember(id, dest, user));
    if (user === this.store.me?.id) this.#left(dest);
    this.#took(room);
  }

  /** @param {string} dest @throws {import("./requests.js").RequestError} */
  async delete(dest) {
    await this.requests.command((id) => protocol.deleteRoom(id, dest));
    this.#lost(dest);
    this.dismiss(dest);
  }

  /** Takes off the list what cannot be read any more, or was only looked at. @param {string} dest */
  dismiss(dest) {
    this.outbox.forget(dest);
    this.store.forget(dest);
  }

  /**
   * Entries have come into the log of a room.
   * @param {Conversation} conversation
   * @param {Entry[]} entries
   * @param {boolean} news  False for the past that a join brings along.
   */
  arrived(conversation, entries, news) {
    for (const entry of entries) {
      if (entry.type !== "room") continue;
      const known = this.store.roomOf(conversation);
      const room = /** @type {Room | undefined} */ (isRoom(entry.data?.room) ? entry.data.room : undefined);
      if (news) this.#happened(conversation, entry, room);
      else if (room !== undefined && known !== undefined && room.modified > known.modified) this.#put(room);
    }
  }

  /** @param {Conversation} conversation @param {Entry} entry @param {Room | undefined} room */
  #happened(conversation, { from, name, data }, room) {
    const { store } = this;
    const { dest } = conversation;
    const mine = from === store.me?.id;
    const aboutMe = data?.user === store.me?.id;
    if (room !== undefined) conversation.title = room.title;
    const title = store.titleOf(conversation);
    if (data?.change === "delete") {
      this.#lost(dest);
      conversation.reset();
      conversation.gone = true;
      conversation.close(`${name} deleted this room.`);
      if (mine) this.dismiss(dest);
      else this.#tell(dest, `${name} deleted the room “${title}”.`);
    } else if (data?.change === "remove" && aboutMe) {
      if (room?.open) this.#put(room);
      else this.#lost(dest);
      conversation.close(`${name} removed you from this room.`);
      if (mine) this.#left(dest);
      else this.#tell(dest, `${name} removed you from “${title}”.`);
    } else if (room !== undefined && !room.open && !store.belongs(room)) {
      this.#lost(dest);
      conversation.close(`${name} has closed this room to everybody but its members.`);
    } else if (room !== undefined) {
      const before = store.belongs(store.roomOf(conversation));
      this.#put(room);
      if (store.belongs(room) && !before) {
        this.#enter(room);
        if (!mine) store.tell(`${name} added you to “${room.title}”.`);
      }
    }
    store.changed("log", dest);
  }

  /** What is on the screen says it by itself. @param {string} dest @param {string} sentence */
  #tell(dest, sentence) {
    if (this.store.active !== dest) this.store.tell(sentence);
  }

  /** The room as the server has answered. @param {unknown} room */
  #took(room) {
    if (!isRoom(room)) return;
    const { id } = /** @type {Room} */ (room);
    const known = this.store.rooms.get(id);
    if (known !== undefined && known.modified > /** @type {Room} */ (room).modified) return;
    if (this.store.belongs(/** @type {Room} */ (room))) this.#enter(/** @type {Room} */ (room));
    if (/** @type {Room} */ (room).open || this.store.belongs(/** @type {Room} */ (room))) this.#put(/** @type {Room} */ (room));
  }

  /** This user belongs to it, and listens to it. @param {Room} room */
  #enter(room) {
    this.join(this.#enlist(room));
  }

  /** @param {Room} room */
  #enlist(room) {
    const conversation = this.store.conversation(protocol.roomDest(room.id));
    conversation.title = room.title;
    conversation.problem = null;
    conversation.gone = false;
    return conversation;
  }

  /** This user has left it. @param {string} dest */
  #left(dest) {
    const room = protocol.roomOf(dest) ?? "";
    if (this.store.rooms.get(room)?.open === false) this.#lost(dest);
    this.dismiss(dest);
  }

  /** It is not there any more, or not for this user. @param {string} dest */
  #lost(dest) {
    this.store.rooms.delete(protocol.roomOf(dest) ?? "");
    this.#changed(dest);
  }

  /** @param {Room} room */
  #put(room) {
    this.store.rooms.set(room.id, room);
    const dest = protocol.roomDest(room.id);
    const conversation = this.store.conversations.get(dest);
    if (conversation !== undefined) conversation.title = room.title;
    this.#changed(dest);
  }

  /** @param {string | null} [dest] */
  #changed(dest = null) {
    for (const what of ["rooms", "conversations"]) this.store.changed(what, dest);
  }
}

/** @param {any} value @returns {value is Room} */
function isRoom(value) {
  return typeof value?.id === "string" && typeof value.title === "string" && Array.isArray(value.members);
}

/** The first try is what fits the title; a title in another script has no letters that an id may have. @param {string} fitting @param {number} tries */
function anotherId(fitting, tries) {
  const random = protocol.newId().slice(0, 8);
  if (fitting === "") return `room-${random}`;
  return tries === 0 ? fitting : tries < OTHER_IDS ? `${fitting}-${tries + 1}` : `${fitting}-${random}`;
}
