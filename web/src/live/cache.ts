/** Puts what the stream tells into the queries that show it, so that no page has to ask again. */

import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import type { Order, Product, Schemas } from "../api/client";
import { keys } from "../api/keys";
import type { Entry } from "./stream";

interface Versioned {
  id: number;
  version: number;
}

interface Page<T> {
  items: T[];
  next: string | null;
}

/** As many prices as a sparkline shows. */
export const MOST_TICKS = 90;

/** The topic an entry stands on: `/tradepost/orders` → `orders`. */
export function topicOf(entry: Entry): string {
  return entry.source.split("/").pop() ?? "";
}

/** Bring the cache up to date with one entry. Safe to repeat: an older version changes nothing. */
export function applyEntry(cache: QueryClient, entry: Entry): void {
  const topic = topicOf(entry);
  if (topic === "orders") applyOrder(cache, entry);
  else if (topic === "payments") forgetOrder(cache, Number(entry.data["order_id"]));
  else if (topic === "products") applyProduct(cache, entry);
  else if (topic === "market.quotes" || topic === "market.crypto") applyQuote(cache, entry);
  else if (topic === "market.news") void cache.invalidateQueries({ queryKey: keys.allNews });
  else if (topic === "market.forex") void cache.invalidateQueries({ queryKey: keys.allForex });
  else if (topic === "tasks") void cache.invalidateQueries({ queryKey: keys.allTasks });
}

/** After a gap nobody knows what was missed: ask for everything that is on the screen. */
export function askAgain(cache: QueryClient): void {
  void cache.invalidateQueries();
}

function applyOrder(cache: QueryClient, entry: Entry): void {
  const order = entry.data as unknown as Order;
  cache.setQueryData<Order>(keys.order(order.id), (old) => newer(old, order));
  const shown = replaceInPages(cache, keys.allOrderPages, order);
  if (!shown || entry.type === "order.placed") void cache.invalidateQueries({ queryKey: keys.allOrderPages });
  forgetOrder(cache, order.id);
}

function forgetOrder(cache: QueryClient, id: number): void {
  void cache.invalidateQueries({ queryKey: keys.timeline(id) });
  void cache.invalidateQueries({ queryKey: keys.refunds(id) });
}

function applyProduct(cache: QueryClient, entry: Entry): void {
  if (entry.type === "product.withdrawn" || entry.type === "product.created") {
    void cache.invalidateQueries({ queryKey: keys.allProducts });
  } else if (entry.type.startsWith("stock.")) {
    const id = Number(entry.data["product_id"]);
    const quantity = entry.data["available"];
    if (typeof quantity === "number") {
      const patch = (old: Product) => (old.id === id ? { ...old, quantity } : old);
      cache.setQueryData<Product>(keys.product(id), (old) => old && patch(old));
      mapPages<Product>(cache, keys.allProductPages, patch);
    }
    void cache.invalidateQueries({ queryKey: keys.stock(id) });
  } else {
    const product = entry.data as unknown as Product;
    cache.setQueryData<Product>(keys.product(product.id), (old) => newer(old, product));
    replaceInPages(cache, keys.allProductPages, product);
  }
}

function applyQuote(cache: QueryClient, entry: Entry): void {
  const told = entry.data as unknown as Schemas["QuoteOut"];
  cache.setQueryData<number[]>(keys.ticks(told.symbol), (old = []) => [...old, told.c].slice(-MOST_TICKS));
  cache.setQueryData<Schemas["QuoteOut"]>(keys.quote(told.symbol), (old) => {
    if (old && old.as_of > told.as_of) return old;
    return { ...old, ...told, session: told.session ?? old?.session ?? "regular", stale: false, age_s: 0 };
  });
}

function newer<T extends Versioned>(old: T | undefined, told: T): T | undefined {
  if (!old) return undefined;
  return old.version > told.version ? old : { ...old, ...told };
}

function replaceInPages<T extends Versioned>(cache: QueryClient, queryKey: readonly unknown[], told: T): boolean {
  let found = false;
  mapPages<T>(cache, queryKey, (old) => {
    if (old.id !== told.id) return old;
    found = true;
    return old.version > told.version ? old : { ...old, ...told };
  });
  return found;
}

function mapPages<T>(cache: QueryClient, queryKey: readonly unknown[], change: (old: T) => T): void {
  cache.setQueriesData<InfiniteData<Page<T>>>({ queryKey }, (old) =>
    old?.pages ? { ...old, pages: old.pages.map((page) => ({ ...page, items: page.items.map(change) })) } : old,
  );
}
