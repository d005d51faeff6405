// What is published: the types, and the files.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile), js = path.resolve(import.meta.dirname, "..");
const tsc = (...args) => run(process.execPath, [path.join(js, "node_modules/typescript/bin/tsc"), ...args], { cwd: js })
  .then(() => "", e => e.stdout || e.message);
const text = name => readFile(path.join(js, name), "utf8");

test("the types say what compiles and what does not", async () => {
  assert.equal(await tsc("-p", "test/types"), "");
});

test("control: a mistake in the good program is seen", async t => {
  const dir = await mkdtemp(path.join(js, "test/types/tmp-"));
  t.after(() => rm(dir, { recursive: true }));
  await writeFile(path.join(dir, "good.ts"), (await text("test/types/good.ts")).replace("toFixed(2)", "toUpperCase()"));
  await writeFile(path.join(dir, "tsconfig.json"), '{ "extends": "../tsconfig.json", "files": ["good.ts"] }');
  assert.match(await tsc("-p", dir), /TS2339.*toUpperCase/);
});

test("the package holds the modules, their types and nothing else", async t => {
  const dir = await mkdtemp(path.join(tmpdir(), "hotline-pack-"));
  t.after(() => rm(dir, { recursive: true }));
  const { stdout } = await run("npm", ["pack", "--json", "--dry-run", "--cache", dir], { cwd: js, shell: process.platform === "win32" });
  const packed = Object.values(JSON.parse(stdout))[0];
  assert.deepEqual(packed.files.map(f => f.path).sort(),
    ["LICENSE", "README.md", "hotline.d.ts", "hotline.js", "package.json", "react.d.ts", "react.js"]);
  assert.equal(await text("LICENSE"), await readFile(path.join(js, "../LICENSE"), "utf8"));
  const { dependencies, exports } = JSON.parse(await text("package.json"));
  assert.equal(dependencies, undefined);
  for (const files of Object.values(exports)) for (const file of Object.values(files)) await text(file);
});

test("the modules import nothing but React", async () => {
  for (const [name, want] of [["hotline.js", []], ["react.js", ["react"]]]) {
    const imported = Array.from((await text(name)).matchAll(/^(?:import|export)\b.*\bfrom "(.*)"/gm), m => m[1]);
    assert.deepEqual(imported, want, name);
    assert.doesNotMatch(await text(name), /\brequire\(|\bimport\(/);
  }
  const { connect, escape, HotlineError, ...rest } = await import("@gohotline/hotline");
  assert.deepEqual([typeof connect, typeof escape, typeof HotlineError, rest], ["function", "function", "function", {}]);
});
