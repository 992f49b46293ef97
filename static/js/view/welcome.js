/** The name screen: asks for a name, and says what is wrong with it. */

import { checkName } from "../protocol.js";
import { byId, setText } from "./dom.js";

export class Welcome {
  /** @param {(name: string) => void} submit */
  constructor(submit) {
    this.submit = submit;
    this.screen = byId("welcome");
    this.form = byId("name-form");
    this.input = /** @type {HTMLInputElement} */ (byId("name-input"));
    this.error = byId("name-error");
    this.button = /** @type {HTMLButtonElement} */ (byId("name-submit"));
    this.suggestionLine = byId("name-suggestion-line");
    this.suggestion = byId("name-suggestion");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#try(this.input.value);
    });
    this.input.addEventListener("input", () => this.#complain("", ""));
    this.suggestion.addEventListener("click", () => {
      this.input.value = this.suggestion.dataset.name ?? "";
      this.#try(this.input.value);
    });
  }

  /** @param {string} name  To begin with. @param {string} [reason]  Why it is asked again. @param {string} [suggestion] */
  show(name, reason = "", suggestion = "") {
    const already = !this.screen.hidden;
    this.screen.hidden = false;
    if (!already || this.input.value === "") this.input.value = name;
    this.#busy(false);
    this.#complain(reason, suggestion);
    if (suggestion !== "") this.suggestion.focus();
    else this.input.focus();
    if (reason !== "" && suggestion === "") this.input.select();
  }

  hide() {
    this.screen.hidden = true;
    this.#busy(false);
  }

  /** What keeps the answer waiting. @param {string} reason */
  waiting(reason) {
    setText(this.error, reason);
  }

  /** @param {string} input */
  #try(input) {
    const { name, problem } = checkName(input);
    if (name === null) {
      this.#complain(problem, "");
      this.input.focus();
      return;
    }
    this.input.value = name;
    this.#complain("", "");
    this.#busy(true);
    this.submit(name);
  }

  /** @param {string} reason @param {string} suggestion */
  #complain(reason, suggestion) {
    setText(this.error, reason);
    this.input.setAttribute("aria-invalid", String(reason !== ""));
    this.suggestionLine.hidden = suggestion === "";
    this.suggestion.dataset.name = suggestion;
    setText(this.suggestion, suggestion === "" ? "" : `Join as “${suggestion}”`);
  }

  /** @param {boolean} busy */
  #busy(busy) {
    this.button.disabled = busy;
    this.input.readOnly = busy;
    setText(this.button, busy ? "Joining…" : "Join");
  }
}
