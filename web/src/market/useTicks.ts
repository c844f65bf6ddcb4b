/** The last prices of a symbol: what is stored, then what has come since the page was opened. */

import { useQuery } from "@tanstack/react-query";
import { keys } from "../api/keys";
import { MOST_TICKS } from "../live/cache";
import { useCandles } from "./quotes";

export function useTicks(symbol: string): number[] {
  const candles = useCandles(symbol, "1");
  const ticks = useQuery({ queryKey: keys.ticks(symbol), queryFn: () => [] as number[], enabled: false, initialData: [] as number[] });
  return [...(candles.data?.c ?? []), ...ticks.data].slice(-MOST_TICKS);
}
