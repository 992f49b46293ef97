/** The dialog about a room: what it is, who belongs to it, and what its owner and its members can do. */

import { counted, moment, sentence } from "../format.js";
import { checkName } from "../protocol.js";
import { showPerson } from "./avatar.js";
import { confirmed } from "./confirm.js";
import { arrange, byId, coalesced, copyOf, dialog, part, setText } from "./dom.js";
import { PeoplePicker } from "./people.js";

/** Rows at a time. */
const STEP = 100;

export class RoomView {
  #dest = "";
  #shown = STEP;

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../rooms.js").Rooms} rooms
   */
  constructor(store, rooms) {
    this.store = store;
    this.rooms = rooms;
    this.dialog = dialog("room-dialog");
    this.opener = byId("room-details");
    this.title = /** @type {HTMLInputElement} */ (byId("rename-input"));
    this.openSwitch = /** @type {HTMLInputElement} */ (byId("room-open"));
    this.error = byId("room-error");
    this.list = byId("members");
    this.picker = new PeoplePicker(byId("room-people"), store, {
      pick: (user) => void this.#run(() => rooms.add(this.#dest, user.id)),
      excluded: () => new Set(this.#room?.members ?? []),
    });
    this.#listen();
  }

  get #room() {
    const conversation = this.store.conversations.get(this.#dest);
    return conversation === undefined ? undefined : this.store.roomOf(conversation);
  }

  #listen() {
    const { store, rooms } = this;
    const update = coalesced(() => this.update());
    for (const what of ["active", "rooms", "roster", "session"]) store.addEventListener(what, update);
    this.opener.addEventListener("click", () => this.#open());
    byId("rename-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const { name, problem } = checkName(this.title.value, "title");
      if (name === null) setText(this.error, problem);
      else if (name !== this.#room?.title) void this.#run(() => rooms.update(this.#dest, { title: name }));
    });
    this.openSwitch.addEventListener("change", () => void this.#run(() => rooms.update(this.#dest, { open: this.openSwitch.checked })));
    this.list.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      const user = button?.closest("li")?.dataset.user;
      if (user !== undefined) void this.#remove(user);
    });
    byId("members-more").addEventListener("click", () => {
      this.#shown += STEP;
      this.update();
    });
    byId("room-join").addEventListener("click", () => void this.#run(() => rooms.add(this.#dest, store.me?.id ?? "")));
    byId("room-leave").addEventListener("click", () => void this.#leave());
    byId("room-delete").addEventListener("click", () => void this.#delete());
  }

  #open() {
    this.#dest = this.store.active;
    this.#shown = STEP;
    setText(this.error, "");
    this.picker.clear();
    this.title.value = this.#room?.title ?? "";
    this.dialog.showModal();
    this.#show();
  }

  update() {
    const { store } = this;
    const shown = store.roomOf(store.current);
    this.opener.hidden = shown === undefined || store.current.problem !== null;
    if (this.dialog.open) this.#show();
  }

  #show() {
    const { store } = this;
    const room = this.#room;
    if (room === undefined) {
      this.dialog.close();
      return;
    }
    const owner = store.owns(room);
    const member = store.belongs(room);
    setText(byId("room-dialog-title"), room.title);
    const made = `Made by ${room.owner === store.me?.id ? "you" : store.nameOf(room.owner)} on ${moment(room.created)}`;
    setText(byId("room-about"), `${this.#dest} · ${room.open ? "open to everybody" : "members only"}. ${made}.`);
    byId("rename-form").hidden = byId("room-open-line").hidden = byId("room-people").hidden = !owner;
    if (document.activeElement !== this.title) this.title.value = room.title;
    this.openSwitch.checked = room.open;
    setText(byId("members-title"), counted(room.members.length, "member"));
    this.#showMembers(room, owner);
    byId("room-join").hidden = member || !room.open;
    byId("room-leave").hidden = !member || owner;
    byId("room-delete").hidden = !owner;
  }

  /** @param {import("../protocol.js").Room} room @param {boolean} owner  Whether this user is. */
  #showMembers(room, owner) {
    const { store } = this;
    const named = room.members.map((id) => ({ id, name: store.nameOf(id) }));
    const rank = (/** @type {string} */ id) => (id === room.owner ? 0 : 1);
    named.sort((a, b) => rank(a.id) - rank(b.id) || (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1));
    const known = new Map(/** @type {HTMLElement[]} */ ([...this.list.children]).map((row) => [row.dataset.user ?? "", row]));
    arrange(this.list, named.slice(0, this.#shown).map(({ id, name }) => {
      const row = known.get(id) ?? copyOf("member-template");
      row.dataset.user = id;
      setText(part(row, ".row-title"), name);
      setText(part(row, ".row-detail"), id);
      showPerson(part(row, ".avatar"), id, name);
      const note = [id === store.me?.id ? "you" : "", id === room.owner ? "owner" : ""].filter(Boolean).join(", ");
      part(row, ".you").hidden = note === "";
      setText(part(row, ".you"), note);
      const remove = part(row, ".remove");
      remove.hidden = !owner || id === room.owner;
      remove.setAttribute("aria-label", `Remove ${name}`);
      return row;
    }));
    byId("members-more").hidden = named.length <= this.#shown;
  }

  /** @param {string} user */
  async #remove(user) {
    const name = this.store.nameOf(user);
    const title = this.#room?.title ?? "";
    const text = this.#room?.open ? "The room is open: they can still come and read." : "They will see nothing more of what is said there.";
    if (await confirmed({ title: `Remove ${name} from “${title}”?`, text, action: "Remove" })) {
      await this.#run(() => this.rooms.remove(this.#dest, user));
    }
  }

  async #leave() {
    const room = this.#room;
    const text = room?.open ? "You can come back whenever you like." : "Only its owner can let you in again.";
    if (!await confirmed({ title: `Leave “${room?.title}”?`, text, action: "Leave" })) return;
    if (await this.#run(() => this.rooms.remove(this.#dest, this.store.me?.id ?? ""))) {
      this.dialog.close();
      this.store.tell(`You have left “${room?.title}”.`);
    }
  }

  async #delete() {
    const title = this.#room?.title ?? "";
    const text = "Everything that was said in it is deleted for everybody, for good.";
    if (!await confirmed({ title: `Delete “${title}”?`, text, action: "Delete the room" })) return;
    if (await this.#run(() => this.rooms.delete(this.#dest))) {
      this.dialog.close();
      this.store.tell(`“${title}” is deleted.`);
    }
  }

  /** @param {() => Promise<void>} act @returns {Promise<boolean>} Whether it worked. */
  async #run(act) {
    setText(this.error, "");
    try {
      await act();
      return true;
    } catch (error) {
      setText(this.error, sentence(/** @type {Error} */ (error).message || "That did not work. Please try again."));
      return false;
    } finally {
      this.update();
    }
  }
}
