// Fails the build when the first load outgrows its budget: the entry and all it imports at once.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_KB = 250;
const manifest = JSON.parse(readFileSync("dist/.vite/manifest.json", "utf8"));
const first = new Set();

function collect(key) {
  if (first.has(key)) return;
  first.add(key);
  for (const next of manifest[key].imports ?? []) collect(next);
}

collect("index.html");
let total = 0;
for (const key of first) {
  const { file } = manifest[key];
  if (file.endsWith(".js")) total += gzipSync(readFileSync(`dist/${file}`)).length;
}
const kb = (total / 1000).toFixed(1);
console.log(`First load: ${kb} kB of JavaScript, gzipped (at most ${BUDGET_KB}).`);
if (total > BUDGET_KB * 1000) process.exit(1);
