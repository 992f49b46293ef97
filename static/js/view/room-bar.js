/** Above the composer: that one is a guest in an open room, or why a room cannot be read any more. */

import { sentence } from "../format.js";
import { byId, coalesced, setText } from "./dom.js";

export class RoomBar {
  /**
   * @param {import("../store.js").Store} store
   * @param {import("../rooms.js").Rooms} rooms
   */
  constructor(store, rooms) {
    this.store = store;
    this.bar = byId("room-bar");
    this.joinButton = /** @type {HTMLButtonElement} */ (byId("room-bar-join"));
    this.dismissButton = byId("room-bar-dismiss");
    const update = coalesced(() => this.update());
    for (const what of ["active", "session", "rooms", "log", "roster"]) store.addEventListener(what, update);
    this.joinButton.addEventListener("click", async () => {
      this.joinButton.disabled = true;
      try {
        await rooms.add(store.active, store.me?.id ?? "");
        byId("composer-input").focus();
      } catch (error) {
        store.tell(sentence(/** @type {Error} */ (error).message));
      }
      this.joinButton.disabled = false;
    });
    this.dismissButton.addEventListener("click", () => {
      rooms.dismiss(store.active);
      byId("timeline").focus();
    });
  }

  update() {
    const { store } = this;
    const { current } = store;
    const room = store.roomOf(current);
    const guest = room !== undefined && room.open && !store.belongs(room);
    const closed = current.room !== null && current.problem !== null;
    this.bar.hidden = !guest && !closed;
    this.joinButton.hidden = !guest;
    this.dismissButton.hidden = !closed;
    const invitation = guest ? "You are a guest in this open room. Join it to keep it in your list." : "";
    setText(byId("room-bar-text"), current.room === null ? "" : sentence(current.problem ?? invitation));
  }
}
