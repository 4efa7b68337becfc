// Runs the page in headless Chromium: it must print what `bits.txt` has, as the native program does
// (`tests/web_example.rs`). `npm test` builds the module first. `CHROMIUM` names the browser where it has
// another name than those below.
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "./serve.mjs";

const names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
const candidates = process.env.CHROMIUM ? [process.env.CHROMIUM] : names;
const browser = candidates.find((name) => spawnSync(name, ["--version"]).status === 0);
if (!browser) throw new Error(`expected one of ${candidates.join(", ")}, got none`);

const profile = await mkdtemp(join(tmpdir(), "fused-rnn-web-"));
// (Chromium has no sandbox where it runs as root. The profile is new and the page is ours.)
const options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
let chromium;
const said = new Promise((resolve, reject) => {
  const server = serve(resolve).listen(0, "127.0.0.1", () => {
    const url = `http://127.0.0.1:${server.address().port}/?test`;
    // A group of its own: the program that is named may be a script that starts others.
    const how = { stdio: "ignore", detached: true };
    chromium = spawn(browser, [...options, `--user-data-dir=${profile}`, url], how);
    chromium.on("error", reject);
    chromium.on("exit", (code) => reject(new Error(`${browser} ended with ${code}, the page not done`)));
    setTimeout(() => reject(new Error("the page said nothing for four minutes")), 240_000);
  });
});
const page = await said.finally(async () => {
  try {
    process.kill(-chromium.pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
  await rm(profile, { recursive: true, force: true, maxRetries: 10 });
});

process.stdout.write(`${browser}:\n${page}`);
if (page !== (await readFile(new URL("bits.txt", import.meta.url), "utf8"))) {
  console.error("the page and bits.txt differ");
  process.exit(1);
}
console.log("the same bits as native");
process.exit(0);
