/** Live tiles of what is watched, a search for more, and the day's news and rates. */

import { useQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { Link } from "react-router";
import { api, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { formatPrice } from "../ui/format";
import { Sparkline } from "../ui/Sparkline";
import { Empty, Failure, Loading, PageHead, Shown } from "../ui/states";
import { Change } from "../ui/text";
import { ForexTable } from "./ForexTable";
import { Age, Marks } from "./Marks";
import { NewsList } from "./NewsList";
import { lookAgain, shortName, useQuote, useWatched } from "./quotes";
import { useTicks } from "./useTicks";

export function MarketPage() {
  const watched = useWatched();
  return (
    <>
      <PageHead title="Market" lead="What is watched, as it moves.">
        <Search />
      </PageHead>
      <Shown of={watched} empty={<Empty title="Nothing is watched.">Search for a symbol, and watch it.</Empty>}>
        {(symbols) => (
          <div className="tiles">
            {symbols
              .filter(({ symbol }) => !symbol.startsWith("OANDA:"))
              .map(({ symbol }) => (
                <Tile key={symbol} symbol={symbol} />
              ))}
          </div>
        )}
      </Shown>
      <div className="columns mt-4">
        <section className="panel">
          <h2>News</h2>
          <NewsList symbol="" />
        </section>
        <section className="panel panel-flush">
          <ForexTable />
        </section>
      </div>
    </>
  );
}

function Tile({ symbol }: { symbol: string }) {
  const quote = useQuote(symbol);
  const ticks = useTicks(symbol);
  return (
    <Link to={`/app/market/${encodeURIComponent(symbol)}`} className="tile">
      <div className="tile-head">
        <span>{shortName(symbol)}</span>
        {quote.data && <Change percent={quote.data.dp} />}
      </div>
      {quote.data ? (
        <>
          <Sparkline values={ticks} label={`${symbol}, the last prices`} isUp={(quote.data.dp ?? 0) >= 0} />
          <div className="tile-price num">
            <span key={quote.data.c} className="tick">
              {formatPrice(quote.data.c)}
            </span>
          </div>
          <div className="tile-foot">
            <Age of={quote.data} />
            <Marks of={quote.data} />
          </div>
        </>
      ) : quote.error ? (
        <p className="small text-secondary mb-0 mt-2">{quote.error.message}</p>
      ) : (
        <Loading rows={2} label={symbol} />
      )}
    </Link>
  );
}

function Search() {
  const [text, setText] = useState("");
  const asked = useDeferredValue(text.trim());
  const found = useQuery({
    queryKey: keys.search(asked),
    queryFn: () => unwrap(api.GET("/market/search", { params: { query: { q: asked } } })),
    enabled: asked.length > 0,
    staleTime: 600_000,
    refetchInterval: lookAgain,
  });
  return (
    <div className="position-relative">
      <input type="search" className="form-control" placeholder="Search a symbol" aria-label="Search a symbol" value={text} onChange={(event) => setText(event.target.value)} />
      {asked && (
        <div className="dropdown-menu show w-100 mt-1" style={{ minWidth: "18rem", right: 0 }}>
          {found.error && <Failure error={found.error} />}
          {found.data?.result.length === 0 && <span className="dropdown-item-text text-secondary">Nothing is called that.</span>}
          {found.data?.result.slice(0, 8).map((each) => (
            <Link key={each.symbol} className="dropdown-item text-truncate" to={`/app/market/${encodeURIComponent(each.symbol)}`}>
              <span className="fw-semibold">{each.displaySymbol}</span> <span className="text-secondary">{each.description}</span>
            </Link>
          ))}
        </div>
      )}
    </div>
  );
}
