/** The work itself: what waits, who works, what failed, and the levers to steer it. */

import { useSession } from "../app/session";
import { inWords } from "../ui/format";
import { PageHead, Shown } from "../ui/states";
import { UnknownPayments } from "./UnknownPayments";
import { MarketBudget } from "./MarketBudget";
import { useReadiness } from "./operations";
import { Queues } from "./Queues";
import { Schedule } from "./Schedule";
import { Tasks } from "./Tasks";

export function OperationsPage() {
  const { home } = useSession();
  const flower = home?.links["flower"];
  return (
    <>
      <PageHead title="Operations">
        {flower && (
          <a className="btn btn-outline-secondary" href={flower} target="_blank" rel="noreferrer">
            Flower
          </a>
        )}
        <a className="btn btn-outline-secondary" href="/metrics" target="_blank" rel="noreferrer">
          Metrics
        </a>
      </PageHead>
      <Health />
      <Queues />
      <Tasks />
      <div className="columns mt-3">
        <Schedule />
        <div>
          <MarketBudget />
          <UnknownPayments />
        </div>
      </div>
    </>
  );
}

function Health() {
  const readiness = useReadiness();
  return (
    <Shown of={readiness}>
      {(found) => (
        <section className="panel mb-3" aria-label="Health" aria-live="polite">
          <div className="d-flex flex-wrap column-gap-4 row-gap-1">
            <span className={`status ${found.ready ? "status-good" : "status-bad"}`}>
              <span className="status-dot" aria-hidden="true" />
              {found.ready ? "Ready" : "Not ready"}
            </span>
            {Object.entries(found.parts).map(([name, part]) => (
              <span key={name} className={part.ok ? "text-secondary" : "change-down"} title={part.detail ?? undefined}>
                {inWords(name)}: {part.ok ? "fine" : (part.detail ?? "not fine")}
              </span>
            ))}
          </div>
        </section>
      )}
    </Shown>
  );
}
