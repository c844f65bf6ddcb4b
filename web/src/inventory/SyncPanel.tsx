/** Bring the catalogue up to date with the feed: look first, then do, then read what was done. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, type Schemas, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { Empty, Failure, Shown } from "../ui/states";
import { Ago, Status } from "../ui/text";

type Run = Schemas["SyncOut"];
type Details = Schemas["SyncDetails"];
const UNDER_WAY = new Set<Schemas["SyncState"]>(["requested", "running"]);
const LOOK_EVERY_MS = 500; // a run writes no events of its own while it works

export function SyncPanel() {
  const [shown, setShown] = useState<number | null>(null);
  const cache = useQueryClient();
  const start = useMutation({
    mutationFn: (dry_run: boolean) => unwrap<Schemas["SyncRequested"]>(api.POST("/products/sync", { body: { dry_run } })),
    onSuccess: (run) => {
      setShown(run.id);
      void cache.invalidateQueries({ queryKey: keys.syncs });
    },
  });
  const runs = useQuery({
    queryKey: keys.syncs,
    queryFn: () => unwrap<Run[]>(api.GET("/products/syncs", { params: { query: { limit: 8 } } })),
  });
  return (
    <section className="panel mb-3" aria-label="Sync with the feed">
      <div className="d-flex flex-wrap gap-2 justify-content-between mb-3">
        <h2 className="mb-0">Sync with the feed</h2>
        <div className="d-flex gap-2">
          <button type="button" className="btn btn-outline-secondary" disabled={start.isPending} onClick={() => start.mutate(true)}>
            Look what would change
          </button>
          <button type="button" className="btn btn-primary" disabled={start.isPending} onClick={() => start.mutate(false)}>
            Sync now
          </button>
        </div>
      </div>
      {start.error && <Failure error={start.error} />}
      {shown !== null && <Report id={shown} />}
      <Shown of={runs} empty={<Empty title="There was no sync yet." />}>
        {(found) => (
          <table className="table table-sm">
            <tbody>
              {found.map((run) => (
                <tr key={run.id}>
                  <td className="px-0">
                    <button type="button" className="btn btn-link p-0" onClick={() => setShown(run.id)}>
                      {run.dry_run ? "Look" : "Sync"} #{run.id}
                    </button>
                  </td>
                  <td>
                    <Status name={run.status} />
                  </td>
                  <td className="text-secondary">{run.report && inShort(run.report)}</td>
                  <td className="right text-secondary px-0">
                    <Ago time={run.requested_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </section>
  );
}

/** "3 created, 1 refused", or why nothing was done. */
export function inShort(report: Schemas["Counts"]): string {
  if (report.reason) return report.reason;
  if (report.not_modified) return "The feed has not changed.";
  const parts = (["created", "changed", "withdrawn", "refused"] as const).filter((name) => report[name] > 0).map((name) => `${report[name]} ${name}`);
  return parts.join(", ") || `${report.unchanged} unchanged`;
}

function Report({ id }: { id: number }) {
  const cache = useQueryClient();
  const run = useQuery({
    queryKey: keys.sync(id),
    queryFn: () => unwrap<Details>(api.GET("/products/sync/{run_id}", { params: { path: { run_id: id } } })),
    refetchInterval: ({ state }) => (state.data && !UNDER_WAY.has(state.data.status) ? false : LOOK_EVERY_MS),
  });
  const isOver = run.data !== undefined && !UNDER_WAY.has(run.data.status);
  useEffect(() => {
    if (isOver) void cache.invalidateQueries({ queryKey: keys.syncs, exact: true });
  }, [cache, isOver]);
  return (
    <div className="mb-3" aria-live="polite">
      <Shown of={run}>{(found) => (isOver ? <Outcome run={found} /> : <Progress />)}</Shown>
    </div>
  );
}

function Progress() {
  return (
    <div className="progress" role="progressbar" aria-label="Syncing">
      <div className="progress-bar progress-bar-striped progress-bar-animated w-100" />
    </div>
  );
}

function Outcome({ run }: { run: Details }) {
  const { report } = run;
  if (!report) return <p className="mb-0">The run has failed.</p>;
  return (
    <div className="code">
      <p className="mb-2 fw-medium">
        {run.dry_run ? "Would be: " : ""}
        {inShort(report)}
      </p>
      <ul className="mb-0">
        {report.changes?.slice(0, 50).map((change) => (
          <li key={change.external_id}>
            {change.action} {change.external_id}
            {change.fields.map((field) => (
              <span key={field.field} className="d-block text-secondary">
                {field.field}: {String(field.from)} → {String(field.to)}
              </span>
            ))}
          </li>
        ))}
        {report.refusals?.map((refusal) => (
          <li key={refusal.position}>
            refused at {refusal.position}: {refusal.reason}
          </li>
        ))}
      </ul>
    </div>
  );
}
