import assert from "node:assert/strict";
import { test } from "node:test";
import { after, backoff } from "../js/backoff.js";

test("delays grow, stay within bounds, and are spread", () => {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const [least, most] = [backoff(attempt, () => 0), backoff(attempt, () => 1)];
    assert.ok(least >= 250 && most <= 30_000, `${attempt}: ${least} to ${most}`);
    assert.equal(most, 2 * least);
  }
  assert.ok(backoff(3, () => 0) > backoff(1, () => 1));
});

test("the server's wish is never undercut", () => {
  assert.equal(after(5000, () => 0), 5000);
  assert.ok(after(5000, () => 1) <= 6000);
  assert.equal(after(NaN, () => 0), 0);
  assert.equal(after(-3, () => 0), 0);
});
