/** How many calls Finnhub still takes, who makes them, and what the plan leaves out. */

import { formatSeconds, inWords } from "../ui/format";
import { Shown } from "../ui/states";
import { useMarketStatus } from "./operations";

export function MarketBudget() {
  const status = useMarketStatus();
  return (
    <section className="panel" aria-label="Market data">
      <h2>Market data</h2>
      <Shown of={status}>
        {({ budget, source, not_in_plan, watchlist_size }) => (
          <dl className="facts">
            <dt>Source</dt>
            <dd>{source}</dd>
            <dt>Watched</dt>
            <dd className="num">{watchlist_size ?? "?"}</dd>
            {budget ? (
              <>
                <dt>Calls left this minute</dt>
                <dd className="num">
                  {budget.calls_left} of {budget.per_minute}
                </dd>
                {Object.entries(budget.lanes).map(([name, lane]) => (
                  <div key={name} className="d-contents">
                    <dt>{inWords(name)}, last minute</dt>
                    <dd className="num">{lane.calls_last_minute}</dd>
                  </div>
                ))}
                <dt>Breaker</dt>
                <dd>{budget.breaker.state === "open" ? `open for ${formatSeconds(budget.breaker.closes_in_s)}: ${budget.breaker.reason ?? ""}` : "closed"}</dd>
              </>
            ) : (
              <>
                <dt>Budget</dt>
                <dd>Redis is away: no calls are made.</dd>
              </>
            )}
            {not_in_plan.length > 0 && (
              <>
                <dt>Not in the plan</dt>
                <dd>{not_in_plan.map((each) => each.what).join(", ")}</dd>
              </>
            )}
          </dl>
        )}
      </Shown>
    </section>
  );
}
