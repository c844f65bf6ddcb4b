/** Tasks that a person asked for, and all that failed: with their true arguments, and a second try. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { useToast } from "../app/toasts";
import { formatSeconds, inWords } from "../ui/format";
import { More } from "../ui/More";
import { Empty, Failure, Loading, Shown } from "../ui/states";
import { Ago, Status } from "../ui/text";
import { type Task, type TaskState, useTasks } from "./operations";

const STATES: TaskState[] = ["failed", "running", "done", "retried"];

export function Tasks() {
  const [state, setState] = useState<TaskState | null>("failed");
  const tasks = useTasks(state);
  const items = tasks.data?.pages.flatMap((page) => page.items);
  return (
    <section className="panel panel-flush mt-3" aria-label="Tasks">
      <div className="d-flex justify-content-between align-items-center p-3">
        <h2 className="mb-0">Tasks</h2>
        <select className="form-select form-select-sm w-auto" aria-label="State of the tasks" value={state ?? ""} onChange={(event) => setState((event.target.value || null) as TaskState | null)}>
          <option value="">All</option>
          {STATES.map((each) => (
            <option key={each} value={each}>
              {inWords(each)}
            </option>
          ))}
        </select>
      </div>
      {tasks.isPending && (
        <div className="px-3">
          <Loading />
        </div>
      )}
      {tasks.error && <Failure error={tasks.error} onRetry={tasks.refetch} />}
      {items?.length === 0 && <Empty title={state === "failed" ? "Nothing has failed." : "There are none."} />}
      {items && items.length > 0 && (
        <div className="table-scroll">
          <table className="table">
            <tbody>
              {items.map((task) => (
                <Row key={task.id} task={task} />
              ))}
            </tbody>
          </table>
          <More of={tasks} />
        </div>
      )}
    </section>
  );
}

function Row({ task }: { task: Task }) {
  const [isOpen, setOpen] = useState(false);
  const cache = useQueryClient();
  const say = useToast();
  const retry = useMutation({
    mutationFn: () => unwrap<Schemas["TaskDetails"]>(api.POST("/tasks/{run_id}/retry", { params: { path: { run_id: task.id } } })),
    onSuccess: () => {
      say(`${task.name} is tried again.`);
      void cache.invalidateQueries({ queryKey: keys.allTasks });
    },
    onError: (error) => say(error.message, "danger"),
  });
  return (
    <>
      <tr>
        <td>
          <button type="button" className="btn btn-link p-0 text-start" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
            {task.name}
          </button>
          {task.error && <div className="small text-secondary text-break">{task.error}</div>}
        </td>
        <td>
          <Status name={task.state} />
        </td>
        <td className="right num">{task.runtime_ms === null ? "–" : formatSeconds(task.runtime_ms / 1000)}</td>
        <td className="right text-secondary text-nowrap">
          <Ago time={task.started_at} />
        </td>
        <td className="right">
          {task.state === "failed" && (
            <button type="button" className="btn btn-sm btn-outline-secondary" disabled={retry.isPending} aria-label={`Try again: ${task.name}`} onClick={() => retry.mutate()}>
              Try again
            </button>
          )}
        </td>
      </tr>
      {isOpen && (
        <tr>
          <td colSpan={5}>
            <Details id={task.id} />
          </td>
        </tr>
      )}
    </>
  );
}

function Details({ id }: { id: number }) {
  const task = useQuery({
    queryKey: keys.task(id),
    queryFn: () => unwrap<Schemas["TaskDetails"]>(api.GET("/tasks/{run_id}", { params: { path: { run_id: id } } })),
  });
  return (
    <Shown of={task}>
      {(found) => (
        <>
          <p className="small mb-2">
            Arguments <code>{JSON.stringify(found.arguments)}</code>, worker {found.worker ?? "unknown"}, request {found.request_id ?? "none"}
          </p>
          {found.traceback && (
            <pre className="code" tabIndex={0}>
              {found.traceback}
            </pre>
          )}
        </>
      )}
    </Shown>
  );
}
