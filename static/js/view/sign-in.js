/** What shows before the chat where another site says who somebody is. */

import { byId, setText } from "./dom.js";

export class SignIn {
  constructor() {
    this.screen = byId("sign-in");
    this.title = byId("sign-in-title");
    this.text = byId("sign-in-text");
  }

  /** @param {string} title @param {string} text */
  show(title, text) {
    this.screen.hidden = false;
    setText(this.title, title);
    setText(this.text, text);
  }

  hide() {
    this.screen.hidden = true;
  }

  get visible() {
    return !this.screen.hidden;
  }
}
