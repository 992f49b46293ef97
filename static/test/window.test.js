import assert from "node:assert/strict";
import { test } from "node:test";
import { Log } from "../js/log.js";
import { LogWindow, ROWS_AT_MOST } from "../js/window.js";
import { entries, entry } from "./fake/page.js";

/** @param {number} first @param {number} last */
function setup(first, last) {
  const log = new Log();
  log.merge(entries(first, last));
  const window = new LogWindow();
  window.place(log);
  return { log, window };
}

test("it begins at the end and grows with it, up to a bound", () => {
  const { log, window } = setup(1, 300);
  assert.deepEqual([window.from, window.to], [241, 300]);
  for (let seq = 301; seq <= 900; seq += 1) {
    log.add(entry(seq));
    window.place(log);
    assert.equal(window.to, seq);
    assert.ok(window.to - window.from < ROWS_AT_MOST);
  }
});

test("a burst that is longer than the window does not fill it", () => {
  const { log, window } = setup(1, 100);
  for (let seq = 101; seq <= 1100; seq += 1) log.add(entry(seq));
  window.place(log);
  assert.deepEqual([window.from, window.to], [1041, 1100]);
});

test("it stands still under one's eyes", () => {
  const { log, window } = setup(1, 1000);
  while (window.from > 500) window.up(log);
  window.follow = false;
  const before = [window.from, window.to];
  assert.ok(window.to < 1000);
  for (let seq = 1001; seq <= 1010; seq += 1) log.add(entry(seq));
  window.place(log);
  assert.deepEqual([window.from, window.to], before);
});

test("one who is a little above the end gets new rows below, but not without bound", () => {
  const { log, window } = setup(1, 1000);
  window.follow = false;
  log.add(entry(1001));
  window.place(log);
  assert.equal(window.to, 1001);
  for (let seq = 1002; seq <= 3000; seq += 1) {
    log.add(entry(seq));
    window.place(log);
  }
  assert.equal(window.to - window.from + 1, ROWS_AT_MOST);
  assert.equal(window.from, 941);
});

test("up and down reach both ends, never showing too much", () => {
  const { log, window } = setup(1, 1000);
  while (window.up(log)) assert.ok(window.to - window.from < ROWS_AT_MOST);
  assert.equal(window.from, 1);
  assert.equal(window.follow, false);
  while (window.down(log)) assert.ok(window.to - window.from < ROWS_AT_MOST);
  assert.equal(window.to, 1000);
});

test("older entries that arrive do not move it", () => {
  const { log, window } = setup(500, 600);
  window.follow = false;
  const before = [window.from, window.to];
  log.merge(entries(450, 499));
  window.place(log);
  assert.deepEqual([window.from, window.to], before);
});

test("after a gap, a reset or another log it is at the end again", () => {
  const { log, window } = setup(1, 300);
  window.follow = false;
  log.gap(900);
  window.place(log);
  assert.deepEqual([window.from, window.to, window.follow], [0, 0, true]);
  for (const one of entries(900, 1099)) log.add(one);
  window.place(log);
  assert.deepEqual([window.from, window.to], [1040, 1099]);
  log.reset();
  log.add(entry(1));
  window.place(log);
  assert.deepEqual([window.from, window.to, window.follow], [1, 1, true]);
});

test("memory is bounded while one is at the end", () => {
  const { log, window } = setup(1, 10);
  for (let seq = 11; seq <= 10_000; seq += 1) {
    log.add(entry(seq));
    window.place(log);
  }
  assert.ok(log.size <= 2000, `${log.size}`);
  assert.equal(window.to, 10_000);
});

test("it can stand around an entry, and then stands still", () => {
  const { log, window } = setup(1, 1000);
  window.show(log, 500);
  window.place(log);
  assert.ok(window.from < 500 && window.to > 500 && window.to < 1000);
  assert.equal(window.follow, false);
  window.show(log, 2);
  assert.equal(window.from, 1);
});
