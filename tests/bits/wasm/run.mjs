// Runs the module in Node: `node run.mjs MODULE.wasm`. Prints what `tests/bits.rs` prints; fails where a hash
// is wrong.
import { readFile } from "node:fs/promises";

// As in `CELLS` of `tests/bits/sets.rs`.
const cells = ["lstm", "gru_after", "gru_before", "elman_tanh", "elman_relu", "min_gru", "min_lstm", "ind_rnn",
  "lstm_mult", "slstm"];
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
