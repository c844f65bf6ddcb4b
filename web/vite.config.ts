import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const API = process.env["TRADEPOST_API"] ?? "http://127.0.0.1:8012";
// A page that the browser loads goes to the dashboard; everything else with such a path is the API's.
const API_PATHS = ["auth", "users", "audit", "products", "orders", "payments", "market", "events", "tasks", "queues", "readyz"];

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    // Under a path of its own, so that it can be cached for ever beside the API's answers.
    assetsDir: "assets",
    manifest: true,
  },
  server: {
    proxy: {
      ...Object.fromEntries(API_PATHS.map((path) => [`/${path}`, API])),
      "^/$": { target: API, bypass: (request) => (request.headers.accept?.includes("text/html") ? request.url : null) },
    },
  },
  // A loaded machine may take long; what hangs is ended all the same.
  test: { environment: "node", include: ["tests/**/*.test.{ts,tsx}"], testTimeout: 60_000, hookTimeout: 60_000 },
});
