/** What waits in each queue, who takes from it, and holding it back for a reason. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import Modal from "react-bootstrap/Modal";
import { api, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { useToast } from "../app/toasts";
import { Field } from "../ui/Field";
import { formatSeconds } from "../ui/format";
import { Failure, Shown } from "../ui/states";
import { Ago } from "../ui/text";
import { type Queue, useQueues } from "./operations";

export function Queues() {
  const queues = useQueues();
  const [pausing, setPausing] = useState<string | null>(null);
  return (
    <section className="panel panel-flush table-scroll" aria-label="Queues">
      <Shown of={queues}>
        {(found) => (
          <table className="table">
            <thead>
              <tr>
                <th>Queue</th>
                <th className="right">Messages</th>
                <th className="right">Due work</th>
                <th className="right">Oldest</th>
                <th>Workers</th>
                <th>Canary</th>
                <th>
                  <span className="visually-hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {found.map((queue) => (
                <Row key={queue.name} queue={queue} onPause={() => setPausing(queue.name)} />
              ))}
            </tbody>
          </table>
        )}
      </Shown>
      {pausing && <PauseDialog name={pausing} onClose={() => setPausing(null)} />}
    </section>
  );
}

function Row({ queue, onPause }: { queue: Queue; onPause: () => void }) {
  const due = queue.due.reduce((sum, each) => sum + each.rows, 0);
  const oldest = Math.max(queue.oldest_message_age_s ?? 0, ...queue.due.map((each) => each.oldest_age_s ?? 0));
  return (
    <tr>
      <td className="fw-medium">
        {queue.name}
        {queue.paused && (
          <div className="small change-down">
            Paused <Ago time={queue.paused.at} />: {queue.paused.reason}
          </div>
        )}
      </td>
      <td className="right num">{queue.depth ?? "?"}</td>
      <td className="right num">{due}</td>
      <td className="right num">{oldest > 0 ? formatSeconds(oldest) : "–"}</td>
      <td>{queue.consumers === null ? "?" : queue.consumers.length > 0 ? queue.consumers.join(", ") : <span className="change-down">nobody</span>}</td>
      <td>
        {queue.canary ? (
          <span className={queue.canary.stale ? "change-down" : "text-secondary"}>
            <Ago time={queue.canary.at} />
          </span>
        ) : (
          "–"
        )}
      </td>
      <td className="right text-nowrap">
        <Levers queue={queue} onPause={onPause} />
      </td>
    </tr>
  );
}

function Levers({ queue, onPause }: { queue: Queue; onPause: () => void }) {
  const cache = useQueryClient();
  const say = useToast();
  const path = { params: { path: { name: queue.name as "payments" } } };
  const order = useMutation({
    mutationFn: (what: "resume" | "canary") => unwrap<Queue>(what === "resume" ? api.POST("/queues/{name}/resume", path) : api.POST("/queues/{name}/canary", path)),
    onSuccess: (_, what) => {
      say(what === "resume" ? `The queue ${queue.name} goes on.` : `One run may pass through ${queue.name}.`);
      void cache.invalidateQueries({ queryKey: keys.queues });
    },
    onError: (error) => say(error.message, "danger"),
  });
  if (!queue.paused) {
    return (
      <button type="button" className="btn btn-sm btn-outline-secondary" aria-label={`Pause ${queue.name}`} onClick={onPause}>
        Pause
      </button>
    );
  }
  return (
    <>
      <button type="button" className="btn btn-sm btn-outline-secondary" disabled={order.isPending} onClick={() => order.mutate("canary")}>
        Let one run pass
      </button>
      <button type="button" className="btn btn-sm btn-primary ms-1" disabled={order.isPending} aria-label={`Resume ${queue.name}`} onClick={() => order.mutate("resume")}>
        Resume
      </button>
    </>
  );
}

function PauseDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const [reason, setReason] = useState("");
  const id = useId();
  const cache = useQueryClient();
  const pause = useMutation({
    mutationFn: () => unwrap<Queue>(api.POST("/queues/{name}/pause", { params: { path: { name: name as "payments" } }, body: { reason } })),
    onSuccess: async () => {
      await cache.invalidateQueries({ queryKey: keys.queues });
      onClose();
    },
  });
  return (
    <Modal show onHide={onClose} aria-labelledby={id} centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          pause.mutate();
        }}
      >
        <Modal.Header closeButton>
          <Modal.Title as="h2" id={id}>
            Pause {name}
          </Modal.Title>
        </Modal.Header>
        <Modal.Body className="d-grid gap-3">
          <p className="mb-0">Its work waits until somebody resumes it, also over restarts. Nothing is lost.</p>
          <Field label="Reason" value={reason} onChange={setReason} maxLength={200} help="Whoever finds it paused will want to know." required />
          {pause.error && <Failure error={pause.error} />}
        </Modal.Body>
        <Modal.Footer>
          <button type="button" className="btn btn-outline-secondary" onClick={onClose}>
            Let it run
          </button>
          <button type="submit" className="btn btn-danger" disabled={pause.isPending || !reason.trim()}>
            Pause
          </button>
        </Modal.Footer>
      </form>
    </Modal>
  );
}
