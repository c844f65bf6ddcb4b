import { expect, it } from "vitest";
import { added, filled, MOST_ROWS } from "../src/events/rows";
import type { Entry } from "../src/live/stream";

const entry = (topic: string, seq: number, second: number) =>
  ({ id: `1-${seq}`, source: `/tradepost/${topic}`, time: new Date(second * 1000).toISOString() }) as Entry;
const keysOf = (rows: { key: string }[]) => rows.map((row) => row.key.replace("/tradepost/", ""));

it("goes on from the history without a gap or a double", () => {
  const history = [entry("orders", 9, 1), entry("orders", 10, 1), entry("products", 1, 2), entry("products", 2, 4)];
  let live = added([], { entry: entry("products", 2, 4) });
  live = added(live, { notice: { kind: "gap", detail: "" } });
  live = added(added(live, { entry: entry("orders", 11, 5) }), { entry: entry("orders", 11, 5) });

  const rows = filled(live, history);

  expect(keysOf(rows).filter((key) => !key.startsWith("notice"))).toEqual(["orders 1-11", "products 1-2", "products 1-1", "orders 1-10", "orders 1-9"]);
  expect(rows.map((row) => row.kind).indexOf("notice")).toBe(1);
  expect(filled(live, [])).toEqual(live);
});

it("keeps no more rows than a page can show", () => {
  const history = Array.from({ length: MOST_ROWS + 5 }, (_, seq) => entry("orders", seq, seq));

  expect(keysOf(filled([], history))).toHaveLength(MOST_ROWS);
  expect(keysOf(filled([], history))[0]).toBe(`orders 1-${MOST_ROWS + 4}`);
});
