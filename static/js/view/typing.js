/** "Ann is typing", above the place where one writes. */

import { typingLine } from "../format.js";
import { byId, coalesced, setText } from "./dom.js";

export class TypingView {
  /** @param {import("../store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.line = byId("typing");
    const update = coalesced(() => this.update());
    store.addEventListener("typing", update);
    store.addEventListener("active", update);
  }

  update() {
    const line = typingLine(this.store.current.typing.names);
    this.line.hidden = line === "";
    setText(byId("typing-text"), line);
  }
}
