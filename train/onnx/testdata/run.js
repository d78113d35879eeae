// Runs an ONNX file on pictures and prints what its outputs hold, as JSON.
// Arguments: the file, the pictures as little-endian floats, how many they are.
"use strict";
const fs = require("fs");
const ort = require("onnxruntime-node");

async function main(file, pictures, count) {
  const session = await ort.InferenceSession.create(file);
  const bytes = fs.readFileSync(pictures);
  const x = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const side = Math.sqrt(x.length / count);
  const out = await session.run({ [session.inputNames[0]]: new ort.Tensor("float32", x, [count, 1, side, side]) });
  const all = {};
  for (const name of session.outputNames) all[name] = { dims: out[name].dims, data: Array.from(out[name].data) };
  console.log(JSON.stringify({ inputs: session.inputNames, outputs: all }));
}

main(process.argv[2], process.argv[3], Number(process.argv[4])).catch((err) => {
  console.error(String(err));
  process.exit(1);
});
