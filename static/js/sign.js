/**
 * Signatures of frames, where the server looks at them (docs/protocol.md "Signing"): HMAC-SHA256 over the canonical
 * JSON of what a frame says.
 *
 * The browser's own WebCrypto is not used: it is missing on plain http, which is how a chat on a local network is
 * opened, and its answers come later, when another frame may have overtaken.
 */

/** @typedef {[number, number, number, number, number, number, number, number]} Eight */

/** FIPS 180-4 §4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const K = new Uint32Array(64);
/** §5.3.3: the same of the square roots of the first 8. */
const H = new Uint32Array(8);

for (let found = 0, candidate = 2; found < 64; candidate++) {
  let prime = true;
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) prime = false;
  if (!prime) continue;
  const fraction = (/** @type {number} */ root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
  if (found < 8) H[found] = fraction(Math.sqrt(candidate));
  K[found++] = fraction(Math.cbrt(candidate));
}

/**
 * @param {Uint8Array} message
 * @returns {Uint8Array} 32 bytes.
 */
export function sha256(message) {
  const blocks = new Uint8Array(Math.ceil((message.length + 9) / 64) * 64);
  blocks.set(message);
  blocks[message.length] = 0x80;
  const view = new DataView(blocks.buffer);
  view.setUint32(blocks.length - 8, Math.floor(message.length / 2 ** 29));
  view.setUint32(blocks.length - 4, (message.length << 3) >>> 0);
  const state = H.slice();
  const w = new Uint32Array(64);
  const turn = (/** @type {number} */ x, /** @type {number} */ by) => (x >>> by) | (x << (32 - by));
  for (let at = 0; at < blocks.length; at += 64) {
    const word = (/** @type {number} */ t) => /** @type {number} */ (w[t]);
    for (let t = 0; t < 16; t++) w[t] = view.getUint32(at + 4 * t);
    for (let t = 16; t < 64; t++) {
      const s0 = turn(word(t - 15), 7) ^ turn(word(t - 15), 18) ^ (word(t - 15) >>> 3);
      const s1 = turn(word(t - 2), 17) ^ turn(word(t - 2), 19) ^ (word(t - 2) >>> 10);
      w[t] = word(t - 16) + s0 + word(t - 7) + s1;
    }
    let [a, b, c, d, e, f, g, h] = /** @type {Eight} */ ([...state]);
    for (let t = 0; t < 64; t++) {
      const k = /** @type {number} */ (K[t]);
      const t1 = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k + word(t)) | 0;
      const t2 = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, index) => (state[index] = /** @type {number} */ (state[index]) + value));
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((word, index) => digest.setUint32(4 * index, word));
  return new Uint8Array(digest.buffer);
}

/**
 * RFC 2104.
 *
 * @param {Uint8Array} key
 * @param {Uint8Array} message
 * @returns {Uint8Array}
 */
export function hmac(key, message) {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? sha256(key) : key);
  const padded = (/** @type {number} */ pad, /** @type {Uint8Array} */ rest) => {
    const bytes = new Uint8Array(64 + rest.length);
    block.forEach((byte, index) => (bytes[index] = byte ^ pad));
    bytes.set(rest, 64);
    return bytes;
  };
  return sha256(padded(0x5c, sha256(padded(0x36, message))));
}

/**
 * JSON in its canonical form (RFC 8785): JavaScript writes strings and numbers as that has it, and sorts by UTF-16.
 *
 * @param {any} value
 * @returns {string}
 */
export function canonical(value) {
  if (value === undefined || value === null) return "null";
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const names = Object.keys(value).filter((name) => value[name] !== undefined).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

/**
 * @param {string} key  That of the 1000 frame, base64url.
 * @param {import("./protocol.js").Frame} frame
 * @returns {string} What its `sign` is to be.
 */
export function sign(key, frame) {
  const bytes = Uint8Array.from(atob(key.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const content = canonical([frame.id, frame.type, frame.dest, frame.data]);
  const mac = hmac(bytes, new TextEncoder().encode(content));
  return btoa(String.fromCharCode(...mac)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
