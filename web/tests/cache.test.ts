import { QueryClient } from "@tanstack/react-query";
import { beforeEach, expect, it } from "vitest";
import type { Order, Product } from "../src/api/client";
import { keys } from "../src/api/keys";
import { applyEntry, MOST_TICKS } from "../src/live/cache";
import type { Entry } from "../src/live/stream";

let cache: QueryClient;

beforeEach(() => {
  cache = new QueryClient();
});

function told(topic: string, type: string, data: object, version = 1): Entry {
  return { id: `1-${version}`, source: `/tradepost/${topic}`, type, subject: "", version, time: "2026-11-01T00:00:00Z", data: data as Record<string, unknown> };
}

function order(version: number, status: string): Order {
  return { id: 17, version, status } as unknown as Order;
}

function pages<T>(...items: T[]) {
  return { pages: [{ items, next: null }], pageParams: [""] };
}

it("turns an order on the receipt and in the list", () => {
  cache.setQueryData(keys.order(17), order(1, "pending"));
  cache.setQueryData(keys.orders({ status: null }), pages(order(1, "pending")));

  applyEntry(cache, told("orders", "order.paid", order(2, "paid")));

  expect(cache.getQueryData<Order>(keys.order(17))?.status).toBe("paid");
  expect(cache.getQueryData<ReturnType<typeof pages<Order>>>(keys.orders({ status: null }))?.pages[0]?.items[0]?.status).toBe("paid");
});

it("keeps the newer version when an older entry comes late", () => {
  cache.setQueryData(keys.order(17), order(3, "completed"));

  applyEntry(cache, told("orders", "order.paid", order(2, "paid")));

  expect(cache.getQueryData<Order>(keys.order(17))?.status).toBe("completed");
});

it("asks for the list again when an order is new", () => {
  cache.setQueryData(keys.orders({ status: null }), pages(order(1, "pending")));

  applyEntry(cache, told("orders", "order.placed", { ...order(1, "pending"), id: 18 }));

  expect(cache.getQueryState(keys.orders({ status: null }))?.isInvalidated).toBe(true);
});

it("shows what can still be ordered when the stock changes", () => {
  cache.setQueryData(keys.product(3), { id: 3, quantity: 10 } as Product);

  applyEntry(cache, told("products", "stock.changed", { product_id: 3, available: 4 }));

  expect(cache.getQueryData<Product>(keys.product(3))?.quantity).toBe(4);
});

function quote(c: number, as_of: string): Entry {
  return told("market.quotes", "quote.updated", { symbol: "AAPL", c, as_of });
}

it("keeps a quote's last prices, and no older quote", () => {
  for (let at = 0; at < MOST_TICKS + 10; at++) applyEntry(cache, quote(at, "2026-11-01T00:00:01Z"));

  applyEntry(cache, quote(1, "2026-11-01T00:00:00Z"));

  expect(cache.getQueryData<number[]>(keys.ticks("AAPL"))).toHaveLength(MOST_TICKS);
  expect(cache.getQueryData<{ c: number }>(keys.quote("AAPL"))?.c).toBe(MOST_TICKS + 9);
});
