/**
 * What outlives a reload. Browsers may refuse storage (private mode, full, switched off);
 * the page works without it then, and merely forgets.
 *
 * @typedef {object} Box
 * @property {(key: string) => any} read  Null when there is nothing, or nothing readable.
 * @property {(key: string, value: any) => void} write
 * @property {(key: string) => void} remove
 * @property {(prefix: string) => string[]} keys
 */

const PREFIX = "mqttchat.";

/**
 * @param {() => Storage} open  Merely looking at `localStorage` may throw.
 * @returns {Box}
 */
export function storageBox(open) {
  /** @template T @param {(storage: Storage) => T} use @param {T} otherwise @returns {T} */
  const guarded = (use, otherwise) => {
    try {
      return use(open());
    } catch {
      return otherwise;
    }
  };
  return {
    read: (key) => guarded((storage) => JSON.parse(storage.getItem(PREFIX + key) ?? "null"), null),
    write: (key, value) => guarded((storage) => storage.setItem(PREFIX + key, JSON.stringify(value)), undefined),
    remove: (key) => guarded((storage) => storage.removeItem(PREFIX + key), undefined),
    keys: (prefix) => guarded((storage) => {
      const found = [];
      for (let i = 0; i < storage.length; i += 1) {
        const key = storage.key(i);
        if (key?.startsWith(PREFIX + prefix)) found.push(key.slice(PREFIX.length));
      }
      return found;
    }, /** @type {string[]} */ ([])),
  };
}

/** A box that lasts as long as the page. @returns {Box} */
export function memoryBox() {
  /** @type {Map<string, string>} */
  const kept = new Map();
  return {
    read: (key) => JSON.parse(kept.get(key) ?? "null"),
    write: (key, value) => void kept.set(key, JSON.stringify(value)),
    remove: (key) => void kept.delete(key),
    keys: (prefix) => [...kept.keys()].filter((key) => key.startsWith(prefix)),
  };
}
