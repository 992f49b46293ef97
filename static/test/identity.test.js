import assert from "node:assert/strict";
import { test } from "node:test";
import { Identity } from "../js/identity.js";
import { memoryBox, storageBox } from "../js/storage.js";

test("a name keeps its token, also after leaving", () => {
  const identity = new Identity(memoryBox());
  assert.equal(identity.current, null);
  identity.remember("Ann", "ann", "t1");
  identity.remember("Bob", "bob", "t2");
  assert.deepEqual(identity.user, { id: "bob", name: "Bob" });
  assert.equal(identity.tokenFor("ann"), "t1");
  identity.leave();
  assert.equal(identity.current, null);
  assert.equal(identity.lastName, "Bob");
  assert.equal(identity.tokenFor("Bob"), "t2");
});

test("a token that was refused is forgotten, the others are not", () => {
  const identity = new Identity(memoryBox());
  identity.remember("Ann", "ann", "t1");
  identity.remember("Bob", "bob", "t2");
  identity.drop("Bob");
  assert.equal(identity.current, null);
  assert.equal(identity.tokenFor("Bob"), null);
  assert.equal(identity.tokenFor("Ann"), "t1");
});

test("rubbish in storage is nobody", () => {
  for (const rubbish of [7, "x", [], { kept: 3 }, { kept: [{}, null] }]) {
    const box = memoryBox();
    box.write("identity", rubbish);
    assert.equal(new Identity(box).current, null);
    assert.equal(new Identity(box).lastName, "");
  }
});

test("a browser without storage is a forgetful one, not a broken one", () => {
  const box = storageBox(() => {
    throw new Error("SecurityError");
  });
  box.write("x", 1);
  assert.equal(box.read("x"), null);
  assert.deepEqual(box.keys(""), []);
});
