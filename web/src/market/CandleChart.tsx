/** Candles as a chart; loaded only where one is looked at. */

import { CandlestickSeries, createChart, type IChartApi, type ISeriesApi, type UTCTimestamp } from "lightweight-charts";
import { useEffect, useRef } from "react";
import type { Candles } from "./quotes";

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return { up: of("--up"), down: of("--down"), text: of("--muted"), line: of("--line") };
}

function candleColours({ up, down }: ReturnType<typeof colours>) {
  return { upColor: up, downColor: down, wickUpColor: up, wickDownColor: down };
}

export function CandleChart({ candles }: { candles: Candles }) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<{ api: IChartApi; series: ISeriesApi<"Candlestick"> } | null>(null);

  useEffect(() => {
    const painted = colours();
    const api = createChart(place.current!, {
      autoSize: true,
      layout: { background: { color: "transparent" }, textColor: painted.text, attributionLogo: false },
      grid: { vertLines: { visible: false }, horzLines: { color: painted.line } },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true },
    });
    const series = api.addSeries(CandlestickSeries, { ...candleColours(painted), borderVisible: false });
    chart.current = { api, series };
    const repainted = new MutationObserver(() => {
      const now = colours();
      api.applyOptions({ layout: { textColor: now.text }, grid: { horzLines: { color: now.line } } });
      series.applyOptions(candleColours(now));
    });
    repainted.observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    return () => {
      repainted.disconnect();
      api.remove();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    chart.current?.series.setData(
      candles.t.map((time, at) => ({
        time: time as UTCTimestamp,
        open: candles.o[at]!,
        high: candles.h[at]!,
        low: candles.l[at]!,
        close: candles.c[at]!,
      })),
    );
  }, [candles]);

  const last = candles.c.at(-1);
  return <div ref={place} className="chart" role="img" aria-label={`${candles.t.length} candles of ${candles.symbol}, the last one at ${last}`} />;
}
