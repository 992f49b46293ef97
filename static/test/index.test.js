import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../", import.meta.url);
const html = readFileSync(new URL("index.html", root), "utf8");
/** @param {string} folder */
const files = (folder) => readdirSync(new URL(folder, root), { recursive: true, encoding: "utf8" }).filter((name) => /\.\w+$/.test(name)).map((name) => `${folder}${name}`);

test("every module is preloaded, so that the page does not wait for one after the other", () => {
  const preloaded = [...html.matchAll(/<link rel="modulepreload" href="([^"]+)">/g)].map((match) => match[1]);
  assert.deepEqual(preloaded.sort(), files("js/").sort());
});

test("every style sheet is used", () => {
  const used = [...html.matchAll(/<link rel="stylesheet" href="([^"]+)">/g)].map((match) => match[1]);
  assert.deepEqual(used.sort(), files("css/").sort());
});

test("nothing inline that a strict content security policy would refuse, nothing from elsewhere", () => {
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)/);
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=/);
  assert.doesNotMatch(html, /(?:src|href)="(?:[a-z]+:|\/)/i);
  for (const file of [...files("js/"), ...files("css/")]) {
    const text = readFileSync(new URL(file, root), "utf8");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|@import|url\(["']?(?:https?:)?\/\//, file);
  }
});

test("every symbol and element that the scripts name is there", () => {
  for (const [, name] of html.matchAll(/<use href="#([\w-]+)"/g)) assert.match(html, new RegExp(`<symbol id="${name}"`));
  for (const file of files("js/")) {
    const text = readFileSync(new URL(file, root), "utf8");
    for (const [, id] of text.matchAll(/byId\("([^"]+)"\)/g)) assert.match(html, new RegExp(`id="${id}"`), `${file}: ${id}`);
  }
  const manifest = JSON.parse(readFileSync(new URL("manifest.webmanifest", root), "utf8"));
  for (const { src } of manifest.icons) assert.ok(files("img/").includes(src), src);
});
