import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { canonical, hmac, sha256, sign } from "../js/sign.js";

const hex = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString("hex");

test("hashes and codes are those of everybody else", () => {
  for (const length of [0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1000, 70_000]) {
    const message = Uint8Array.from({ length }, (_, index) => (index * 31 + length) % 256);
    assert.equal(hex(sha256(message)), createHash("sha256").update(message).digest("hex"));
    for (const size of [0, 32, 64, 65, 200]) {
      const key = message.slice(0, size);
      assert.equal(hex(hmac(key, message)), createHmac("sha256", key).update(message).digest("hex"));
    }
  }
});

test("canonical JSON", () => {
  const value = { "€": 1, b: [1e30, 4.5, 2e-3, -0, null, true], a: { z: "\u000f\"\\/é", y: undefined }, "1": "" };
  assert.equal(
    canonical(value),
    '{"1":"","a":{"z":"\\u000f\\"\\\\/é"},"b":[1e+30,4.5,0.002,0,null,true],"€":1}',
  );
});

test("the signature that the server expects", () => {
  const vector = new URL("../../crates/protocol/src/client_sign_vector.txt", import.meta.url);
  const key = Buffer.alloc(32, 7).toString("base64url");
  const frame = { type: "msg", id: "m1", dest: "public", data: { z: 1.5, text: "héllo" } };
  assert.equal(sign(key, frame), readFileSync(vector, "utf8").trim());
  assert.notEqual(sign(key, { ...frame, dest: "rooms/ops" }), sign(key, frame));
});
