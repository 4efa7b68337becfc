// The AudioWorklet: sends each block of sound through the network, on the audio thread.
import { BLOCK, Network } from "./network.mjs";

class RecurrentProcessor extends AudioWorkletProcessor {
  constructor({ processorOptions: { module, weights } }) {
    super();
    this.network = new Network(module);
    this.network.weights = weights;
    this.network.exports.reset();
  }

  process([[input]], [[output]]) {
    // The node has one channel and the usual block; without a source there is no channel, which is silence.
    if (output.length !== BLOCK) throw new RangeError(`expected blocks of ${BLOCK}, got ${output.length}`);
    const block = this.network.block;
    if (input) block.set(input);
    else block.fill(0);
    this.network.exports.process();
    output.set(this.network.block);
    return true;
  }
}

registerProcessor("recurrent", RecurrentProcessor);
