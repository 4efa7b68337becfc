// The module as a class: for the page and for the AudioWorklet, which both import this file.

/** Samples of a block. */
export const BLOCK = 128;

export class Network {
  /** @param {WebAssembly.Module} module */
  constructor(module) {
    this.exports = new WebAssembly.Instance(module, {}).exports;
    this.address = this.exports.block();
  }

  // Memory that grows leaves old views empty, so a view lasts until the next call.
  floats(address, count) {
    return new Float32Array(this.exports.memory.buffer, address, count);
  }

  /** The block, to be written and read. */
  get block() {
    return this.floats(this.address, BLOCK);
  }

  /** A copy of all weights. */
  get weights() {
    return this.floats(this.exports.weights(), this.exports.weight_count()).slice();
  }

  set weights(weights) {
    this.floats(this.exports.weights(), this.exports.weight_count()).set(weights);
    this.exports.set_weights();
  }

  /** The hash of samples, a whole number of blocks or the last of them filled up with zeros. */
  hash(samples) {
    const { hash } = this.exports;
    let of = 0n;
    for (let from = 0; from < samples.length; from += BLOCK) {
      this.block.fill(0);
      this.block.set(samples.subarray(from, from + BLOCK));
      of = hash(of);
    }
    return `0x${BigInt.asUintN(64, of).toString(16).padStart(16, "0")}`;
  }
}
