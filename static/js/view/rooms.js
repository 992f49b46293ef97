/** The dialogs to find a room and to make one. */

import { counted, sentence } from "../format.js";
import { checkName, isUserId, roomDest, roomIdFor } from "../protocol.js";
import { roomSymbol, showSymbol } from "./avatar.js";
import { arrange, byId, coalesced, copyOf, dialog, part, setAttribute, setText } from "./dom.js";
import { PeoplePicker } from "./people.js";

/** From so many rooms on there is a field to filter them. */
const MANY = 8;
const SHOWN_AT_MOST = 200;

export class RoomsView {
  /** Members to begin with. @type {Map<string, import("../protocol.js").User>} */
  #members = new Map();
  /** Whether the address was typed, and not made from the title. */
  #idTyped = false;
  #outdated = false;

  /**
   * @param {import("../store.js").Store} store
   * @param {import("../rooms.js").Rooms} rooms
   * @param {(dest: string) => void} open
   */
  constructor(store, rooms, open) {
    this.store = store;
    this.rooms = rooms;
    this.open = open;
    this.listDialog = dialog("rooms-dialog");
    this.createDialog = dialog("create-dialog");
    this.list = byId("rooms-list");
    this.note = byId("rooms-note");
    this.filter = /** @type {HTMLInputElement} */ (byId("rooms-filter"));
    this.name = /** @type {HTMLInputElement} */ (byId("create-name"));
    this.id = /** @type {HTMLInputElement} */ (byId("create-id"));
    this.error = byId("create-error");
    this.submit = /** @type {HTMLButtonElement} */ (byId("create-submit"));
    this.form = /** @type {HTMLFormElement} */ (byId("create-form"));
    this.chips = part(this.form, "[data-part=chips]");
    this.picker = new PeoplePicker(byId("create-people"), store, {
      pick: (user) => {
        this.#members.set(user.id, user);
        this.#showChips();
      },
      excluded: () => new Set([...this.#members.keys(), store.me?.id ?? ""]),
    });
    this.#listen();
  }

  #listen() {
    const update = coalesced(() => this.#update());
    this.store.addEventListener("rooms", update);
    this.filter.addEventListener("input", () => this.#update());
    byId("rooms-open").addEventListener("click", () => void this.#find());
    byId("room-new").addEventListener("click", () => this.#begin());
    this.list.addEventListener("click", (event) => {
      const dest = /** @type {Element} */ (event.target).closest("button")?.dataset.dest;
      if (dest === undefined) return;
      this.listDialog.close();
      this.open(dest);
    });
    this.name.addEventListener("input", () => {
      if (!this.#idTyped) this.id.value = roomIdFor(this.name.value);
      setText(this.error, "");
    });
    this.id.addEventListener("input", () => {
      this.#idTyped = this.id.value !== "";
      setText(this.error, "");
    });
    this.chips.addEventListener("click", (event) => {
      const user = /** @type {Element} */ (event.target).closest("button")?.dataset.user;
      if (user === undefined) return;
      this.#members.delete(user);
      this.#showChips();
      this.picker.input.focus();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#create();
    });
  }

  async #find() {
    this.filter.value = "";
    this.#outdated = false;
    this.listDialog.showModal();
    this.#update();
    try {
      await this.rooms.list();
    } catch {
      this.#outdated = true;
      this.#update();
    }
  }

  #update() {
    if (!this.listDialog.open) return;
    const rooms = [...this.store.rooms.values()].sort((a, b) => (a.title.toLowerCase() < b.title.toLowerCase() ? -1 : 1));
    this.filter.hidden = rooms.length < MANY;
    const wanted = this.filter.value.trim().toLowerCase();
    const fitting = rooms.filter((room) => room.title.toLowerCase().includes(wanted) || room.id.includes(wanted));
    const known = new Map([...this.list.children].map((row) => [part(row, "button").dataset.dest ?? "", row]));
    arrange(this.list, fitting.slice(0, SHOWN_AT_MOST).map((room) => {
      const row = known.get(roomDest(room.id)) ?? copyOf("room-template");
      part(row, "button").dataset.dest = roomDest(room.id);
      setText(part(row, ".row-title"), room.title);
      setText(part(row, ".row-detail"), `${room.open ? "Open" : "Members only"} · ${counted(room.members.length, "member")}`);
      part(row, ".you").hidden = !this.store.belongs(room);
      showSymbol(part(row, ".avatar"), roomSymbol(room), "public");
      return row;
    }));
    const none = rooms.length === 0 ? "There is no open room yet." : fitting.length === 0 ? "No room is called that." : "";
    setText(this.note, this.#outdated ? "The list may be out of date: the server cannot be asked." : none);
  }

  #begin() {
    this.listDialog.close();
    this.form.reset();
    this.#members.clear();
    this.#idTyped = false;
    this.picker.clear();
    this.#showChips();
    this.#complain("");
    this.createDialog.showModal();
    this.name.focus();
  }

  async #create() {
    const { name: title, problem } = checkName(this.name.value, "title");
    const id = this.id.value.trim();
    if (title === null) return this.#complain(problem, this.name);
    if (id !== "" && !isUserId(id)) return this.#complain("An address has small letters, digits, - and _, and begins with a letter or digit.", this.id);
    if (!this.picker.empty) {
      const { rest } = this.picker;
      if (rest === null) return this.#complain("Nobody is called that. Pick somebody, or empty the field.", this.picker.input);
      this.#members.set(rest.id, rest);
      this.picker.clear();
      this.#showChips();
    }
    this.#complain("");
    this.submit.disabled = true;
    try {
      const open = new FormData(this.form).get("open") === "yes";
      const dest = await this.rooms.create({ title, open, members: [...this.#members.keys()], id: this.#idTyped ? id : "" });
      this.createDialog.close();
      this.open(dest);
    } catch (error) {
      const { code, message } = /** @type {import("../requests.js").RequestError} */ (error);
      this.#complain(code === "conflict" ? "There is a room at this address already. Please take another." : message, code === "conflict" ? this.id : null);
    }
    this.submit.disabled = false;
  }

  /** @param {string} reason @param {HTMLElement | null} [field]  What it is about. */
  #complain(reason, field = null) {
    setText(this.error, sentence(reason));
    for (const one of [this.name, this.id, this.picker.input]) setAttribute(one, "aria-invalid", one === field ? "true" : null);
    field?.focus();
  }

  #showChips() {
    this.chips.hidden = this.#members.size === 0;
    this.chips.replaceChildren(...[...this.#members.values()].map(({ id, name }) => {
      const chip = copyOf("chip-template");
      setText(part(chip, "bdi"), name);
      const button = part(chip, "button");
      button.dataset.user = id;
      button.setAttribute("aria-label", `Not ${name}`);
      return chip;
    }));
  }
}
