/** One symbol: its price now, its candles, its company and its news. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { Link, useParams } from "react-router";
import { api, type Schemas, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { useSession } from "../app/session";
import { useToast } from "../app/toasts";
import { formatPrice } from "../ui/format";
import { Empty, isMissing, Loading, NotFound, PageHead, Shown } from "../ui/states";
import { Change } from "../ui/text";
import { Age, Marks } from "./Marks";
import { NewsList } from "./NewsList";
import { lookAgain, type Quote, type Resolution, RESOLUTIONS, shortName, useCandles, useQuote, useWatched } from "./quotes";

const CandleChart = lazy(async () => ({ default: (await import("./CandleChart")).CandleChart }));

export function InstrumentPage() {
  const symbol = useParams()["symbol"] ?? "";
  const quote = useQuote(symbol);
  if (!quote.data && isMissing(quote.error)) {
    return (
      <NotFound title={`Nothing is known about ${shortName(symbol)}.`}>
        <Link to="/app/market">Search for another symbol.</Link>
      </NotFound>
    );
  }
  const isShare = !symbol.includes(":");
  return (
    <>
      <PageHead title={shortName(symbol)} lead={isShare ? undefined : symbol}>
        <Watch symbol={symbol} />
      </PageHead>
      <Shown of={quote}>{(found) => <Price quote={found} />}</Shown>
      <div className="columns mt-3">
        <div>
          <Chart symbol={symbol} />
          {isShare && (
            <section className="panel">
              <h2>News</h2>
              <NewsList symbol={symbol} />
            </section>
          )}
        </div>
        {isShare && <Company symbol={symbol} />}
      </div>
    </>
  );
}

function Price({ quote }: { quote: Quote }) {
  const facts: [string, number][] = [
    ["Open", quote.o],
    ["High", quote.h],
    ["Low", quote.l],
    ["Previous close", quote.pc],
  ];
  return (
    <section className="panel d-flex flex-wrap gap-4 align-items-center" aria-label="Price">
      <div>
        <span key={quote.c} className="tile-price tick num fs-2">
          {formatPrice(quote.c)}
        </span>{" "}
        <Change percent={quote.dp} />
        <p className="small text-secondary mb-0">
          <Age of={quote} /> <Marks of={quote} />
        </p>
      </div>
      <div className="d-flex flex-wrap gap-4 ms-auto">
        {facts.map(([name, value]) => (
          <div key={name}>
            <div className="figure-label">{name}</div>
            <div className="num fw-medium">{formatPrice(value)}</div>
          </div>
        ))}
      </div>
    </section>
  );
}

function Chart({ symbol }: { symbol: string }) {
  const [resolution, setResolution] = useState<Resolution>("1");
  const candles = useCandles(symbol, resolution);
  return (
    <section className="panel" aria-label="Candles">
      <div className="d-flex justify-content-between mb-3">
        <h2 className="mb-0">Candles</h2>
        <div className="btn-group btn-group-sm" role="group" aria-label="Length of a candle">
          {RESOLUTIONS.map(([value, label]) => (
            <button key={value} type="button" className={`btn btn-outline-secondary ${value === resolution ? "active" : ""}`} aria-pressed={value === resolution} onClick={() => setResolution(value)}>
              {label}
            </button>
          ))}
        </div>
      </div>
      <Shown of={candles}>
        {(found) =>
          found.t.length === 0 ? (
            <Empty title="There are no candles yet.">They are made of the quotes that were stored here.</Empty>
          ) : (
            <Suspense fallback={<Loading rows={5} />}>
              <CandleChart candles={found} />
            </Suspense>
          )
        }
      </Shown>
    </section>
  );
}

function Company({ symbol }: { symbol: string }) {
  const company = useQuery({
    queryKey: keys.company(symbol),
    queryFn: () => unwrap(api.GET("/market/company", { params: { query: { symbol } } })) as Promise<Schemas["CompanyOut"] & Record<string, unknown>>,
    staleTime: 3_600_000,
    refetchInterval: lookAgain,
  });
  return (
    <section className="panel" aria-label="Company">
      <h2>Company</h2>
      <Shown of={company}>
        {(found) => (
          <dl className="facts">
            <dt>Name</dt>
            <dd>{found.name}</dd>
            {(["exchange", "finnhubIndustry", "country", "ipo"] as const).map((field) =>
              typeof found[field] === "string" ? (
                <div key={field} className="d-contents">
                  <dt>{{ exchange: "Exchange", finnhubIndustry: "Industry", country: "Country", ipo: "Listed since" }[field]}</dt>
                  <dd>{found[field] as string}</dd>
                </div>
              ) : null,
            )}
            {typeof found["marketCapitalization"] === "number" && (
              <>
                <dt>Worth</dt>
                <dd className="num">{(found["marketCapitalization"] * 1e6).toLocaleString(undefined, { notation: "compact", maximumFractionDigits: 2 })}</dd>
              </>
            )}
          </dl>
        )}
      </Shown>
    </section>
  );
}

function Watch({ symbol }: { symbol: string }) {
  const { isOperator } = useSession();
  const watched = useWatched();
  const cache = useQueryClient();
  const say = useToast();
  const origin = watched.data?.find((each) => each.symbol === symbol)?.origin;
  const isWatched = origin === "configured" || origin === "stored";
  const toggle = useMutation({
    mutationFn: async () => {
      const params = { params: { path: { symbol } } };
      await (isWatched ? unwrap(api.DELETE("/market/watchlist/{symbol}", params)) : unwrap(api.PUT("/market/watchlist/{symbol}", params)));
    },
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.watchlist }),
    onError: (error) => say(error.message, "danger"),
  });
  if (!isOperator) return null;
  return (
    <button type="button" className="btn btn-outline-secondary" aria-pressed={isWatched} disabled={toggle.isPending || !watched.data || origin === "configured"} title={origin === "configured" ? "The settings name it." : undefined} onClick={() => toggle.mutate()}>
      {origin === "configured" ? "Watched" : isWatched ? "Stop watching" : "Watch"}
    </button>
  );
}
