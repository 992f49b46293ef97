/**
 * Who the person at this browser is: the tokens that keep their names, and which of them is in use.
 * A guest's token is the only proof that a name is theirs, so it is kept when they leave.
 *
 * @typedef {{ name: string, id: string, token: string }} Kept
 * @typedef {{ current: string | null, kept: Kept[] }} Identities
 */

const KEY = "identity";
const KEPT_AT_MOST = 10;

export class Identity {
  /** @param {import("./storage.js").Box} box */
  constructor(box) {
    this.box = box;
  }

  /** The name that is signed in, or null. @returns {string | null} */
  get current() {
    return this.#read().current;
  }

  /** Who was signed in, before the server has said so again. @returns {import("./protocol.js").User | null} */
  get user() {
    const { current, kept } = this.#read();
    const found = current === null ? undefined : kept.find((one) => sameName(one.name, current));
    return found === undefined ? null : { id: found.id, name: found.name };
  }

  /** The name used last, to fill in the field. @returns {string} */
  get lastName() {
    return this.#read().kept[0]?.name ?? "";
  }

  /** @param {string} name @returns {string | null} */
  tokenFor(name) {
    return this.#read().kept.find((kept) => sameName(kept.name, name))?.token ?? null;
  }

  /** @param {string} name @param {string} id @param {string} token */
  remember(name, id, token) {
    const others = this.#read().kept.filter((kept) => kept.id !== id && !sameName(kept.name, name));
    this.box.write(KEY, { current: name, kept: [{ name, id, token }, ...others].slice(0, KEPT_AT_MOST) });
  }

  /** The server did not take the token of this name. @param {string} name */
  drop(name) {
    const kept = this.#read().kept.filter((one) => !sameName(one.name, name));
    this.box.write(KEY, { current: null, kept });
  }

  /** Nobody is signed in any more; the token stays for coming back. */
  leave() {
    this.box.write(KEY, { ...this.#read(), current: null });
  }

  /** @returns {Identities} */
  #read() {
    const value = this.box.read(KEY);
    if (value === null || typeof value !== "object" || !Array.isArray(value.kept)) return { current: null, kept: [] };
    const kept = value.kept.filter((/** @type {any} */ one) => typeof one?.name === "string" && typeof one.token === "string");
    return { current: typeof value.current === "string" ? value.current : null, kept };
  }
}

/** @param {string} a @param {string} b */
const sameName = (a, b) => a.toLowerCase() === b.toLowerCase();
