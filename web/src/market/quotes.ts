/** The market's queries. */

import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, Problem, type Schemas, unwrap } from "../api/client";
import { keys } from "../api/keys";

export type Quote = Schemas["QuoteOut"];
export type Candles = Schemas["CandlesOut"];

/** Resolutions that we have candles of, with what they are called. */
export const RESOLUTIONS = [
  ["1", "1 min"],
  ["5", "5 min"],
  ["60", "1 h"],
  ["D", "1 day"],
] as const;
export type Resolution = (typeof RESOLUTIONS)[number][0];

const MISSING_AGAIN_MS = 6_000;

/** When to look again: what the budget of calls did not allow yet may come soon, and no event tells of it while a market rests. */
export function lookAgain({ state: { data, error } }: { state: { data: unknown; error: Error | null } }): number | false {
  const isRefused = error instanceof Problem && error.status < 500;
  const isWhole = error === null && (data as { complete?: boolean } | undefined)?.complete !== false;
  return isRefused || isWhole ? false : MISSING_AGAIN_MS;
}

export function useWatched() {
  const cache = useQueryClient();
  return useQuery({
    queryKey: keys.watchlist,
    queryFn: async () => {
      const watched = await unwrap(api.GET("/market/watchlist"));
      const symbols = watched.map((each) => each.symbol).filter((symbol) => !symbol.startsWith("OANDA:"));
      if (symbols.length > 0) {
        const quotes = await unwrap(api.GET("/market/quotes", { params: { query: { symbols: symbols.join(",") } } }));
        for (const quote of quotes) if ("c" in quote) cache.setQueryData(keys.quote(quote.symbol), quote);
      }
      return watched;
    },
    refetchInterval: lookAgain,
  });
}

export function quoteQuery(symbol: string) {
  return queryOptions({
    queryKey: keys.quote(symbol),
    queryFn: () => unwrap<Quote>(api.GET("/market/quote", { params: { query: { symbol } } })),
    refetchInterval: lookAgain,
  });
}

export function useQuote(symbol: string) {
  return useQuery(quoteQuery(symbol));
}

export function useCandles(symbol: string, resolution: Resolution) {
  return useQuery({
    queryKey: keys.candles(symbol, resolution),
    queryFn: () => unwrap(api.GET("/market/candles", { params: { query: { symbol, resolution } } })) as Promise<Candles>,
    staleTime: 10_000,
    refetchInterval: 30_000, // bars are made of events that the page has seen already, a little later
  });
}

/** `BINANCE:BTCUSDT` → `BTC/USDT`, `OANDA:EUR_USD` → `EUR/USD`; a share's ticker stays. */
export function shortName(symbol: string): string {
  const name = symbol.split(":").pop() ?? symbol;
  if (symbol.startsWith("BINANCE:")) return name.replace(/(USDT|USDC|USD|BTC|EUR)$/, "/$1");
  return name.replace("_", "/");
}
