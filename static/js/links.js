/**
 * Finds the addresses in a text. Only http and https become links; everything else stays text.
 *
 * @typedef {{ text: string, href: string | null }} Piece
 */

/** Stops at white space, quotes, angle brackets, and characters that turn the reading direction. */
const ADDRESS = /https?:\/\/[^\s<>"\u200b-\u200f\u2028-\u202e\u2060-\u2069]+/giu;
const TRAILING = /[.,;:!?'*~”’»›…]$/u;

/**
 * @param {string} text
 * @returns {Piece[]} In order; together they are the text again.
 */
export function splitLinks(text) {
  /** @type {Piece[]} */
  const pieces = [];
  let done = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const shown = withoutTrailing(match[0]);
    const href = address(shown);
    if (href === null) continue;
    if (match.index > done) pieces.push({ text: text.slice(done, match.index), href: null });
    pieces.push({ text: shown, href });
    done = match.index + shown.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done), href: null });
  return pieces;
}

/** The full stop that ends the sentence is not of the address; a bracket only if it was opened in it. @param {string} found */
function withoutTrailing(found) {
  let shown = found;
  for (;;) {
    if (TRAILING.test(shown)) shown = shown.slice(0, -1);
    else if (shown.endsWith(")") && count(shown, ")") > count(shown, "(")) shown = shown.slice(0, -1);
    else if (shown.endsWith("]") && count(shown, "]") > count(shown, "[")) shown = shown.slice(0, -1);
    else return shown;
  }
}

/** @param {string} text @param {string} character */
const count = (text, character) => text.split(character).length - 1;

/** @param {string} shown @returns {string | null} */
function address(shown) {
  try {
    const url = new URL(shown);
    return (url.protocol === "http:" || url.protocol === "https:") && url.hostname !== "" ? url.href : null;
  } catch {
    return null;
  }
}
