// Runs the module in Node: `node run.mjs MODULE.wasm`. Prints what `tests/bits.rs` prints; fails where a hash
// is wrong.
import { readFile } from "node:fs/promises";

const cells = ["lstm", "gru_after", "gru_before", "elman_tanh", "elman_relu"];
const names = [...cells, ...cells.map((cell) => `${cell} (tiny)`), ""];
const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), {});
const wrong = instance.exports.run();
names.forEach((name, n) => {
  const hash = BigInt.asUintN(64, instance.exports.hash(n)).toString(16).padStart(16, "0");
  console.log(["bits wasm portable", name, `0x${hash}`].filter(Boolean).join(" "));
});
if (wrong > 0) {
  console.error(`${wrong} hashes are wrong`);
  process.exit(1);
}
