// The page: trains the network, draws what it has learnt, and plays sound through it.
import { BLOCK, Network } from "./network.mjs";

const ROUNDS = 300;
const RATE = 48000;
const at = (id) => document.getElementById(id);

const wasm = fetch("target/wasm32-unknown-unknown/release/fused_rnn_web.wasm");
const module = await WebAssembly.compileStreaming(wasm);
const network = new Network(module);

/** A node that sends sound through a network with these weights. */
async function nodeOf(context, weights) {
  await context.audioWorklet.addModule("worklet.mjs");
  const options = { channelCount: 1, channelCountMode: "explicit", outputChannelCount: [1] };
  return new AudioWorkletNode(context, "recurrent", { ...options, processorOptions: { module, weights } });
}

/** A tone that fades in, sent through the effect and through the network, as two curves. */
function draw() {
  const blocks = 4;
  const curve = (through) => {
    const all = new Float32Array(blocks * BLOCK);
    network.exports.reset();
    for (let n = 0; n < blocks; n++) {
      const loudness = (n + 1) / blocks;
      const sample = (_, t) => loudness * Math.sin((t / 64) * 2 * Math.PI);
      network.block.set(Float32Array.from({ length: BLOCK }, sample));
      through();
      all.set(network.block, n * BLOCK);
    }
    return all;
  };
  const canvas = at("curves");
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const line = (samples, colour) => {
    pen.lineWidth = 2;
    pen.strokeStyle = colour;
    pen.beginPath();
    samples.forEach((y, t) => {
      pen.lineTo((t / samples.length) * canvas.width, (0.5 - 0.45 * y) * canvas.height);
    });
    pen.stroke();
  };
  line(curve(() => network.exports.effect()), "#888");
  line(curve(() => network.exports.process()), "#d33");
  network.exports.reset();
}

async function train() {
  at("train").disabled = true;
  for (let round = 0; round < ROUNDS; round += 10) {
    const loss = network.exports.train(10);
    at("loss").textContent = `round ${round + 10} of ${ROUNDS}, mean squared error ${loss.toExponential(2)}`;
    draw();
    await new Promise(requestAnimationFrame);
  }
  at("play").disabled = false;
}

let context;
async function play() {
  if (context) {
    await context.close();
    context = undefined;
    at("play").textContent = "Play";
    return;
  }
  context = new AudioContext();
  const tone = new OscillatorNode(context, { type: "sawtooth", frequency: 110 });
  const quiet = new GainNode(context, { gain: 0.2 });
  tone.connect(await nodeOf(context, network.weights)).connect(quiet).connect(context.destination);
  tone.start();
  at("play").textContent = "Stop";
}

/** What `tests/web_example.rs` does, with the AudioWorklet in place of its stream. Returns what came out. */
async function test() {
  network.exports.train(ROUNDS);
  const { weights } = network;
  const length = Math.floor(RATE / BLOCK) * BLOCK;
  const context = new OfflineAudioContext({ numberOfChannels: 1, length, sampleRate: RATE });
  const noise = new AudioBuffer({ length, sampleRate: RATE });
  for (let from = 0; from < length; from += BLOCK) {
    network.exports.noise();
    noise.copyToChannel(network.block, 0, from);
  }
  const source = new AudioBufferSourceNode(context, { buffer: noise });
  source.connect(await nodeOf(context, weights)).connect(context.destination);
  source.start();
  const sound = (await context.startRendering()).getChannelData(0);
  return `weights ${network.hash(weights)}\nsound ${network.hash(sound)}\n`;
}

at("train").addEventListener("click", train);
at("play").addEventListener("click", play);
if (location.search === "?test") {
  const said = await test().catch((error) => `failed: ${error.stack}\n`);
  await fetch("/said", { method: "POST", body: said });
}
