// Serves the files of this folder on this machine alone: `node serve.mjs [PORT]`.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const types = { ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm" };

/** A server of the files; what the page posts goes to `said`. */
export function serve(said = () => {}) {
  return createServer(async (request, response) => {
    if (request.method === "POST") {
      const parts = [];
      for await (const part of request) parts.push(part);
      response.end();
      return said(Buffer.concat(parts).toString());
    }
    try {
      // (A normalised path that begins with a slash does not lead out of the folder.)
      const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
      const file = join(folder, path === "/" ? "index.html" : path);
      const body = await readFile(file);
      response.setHeader("Content-Type", types[extname(file)] ?? "application/octet-stream");
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end("not found\n");
    }
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = serve().listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
    console.log(`http://localhost:${server.address().port}/`);
  });
}
