/** What happened to an order, as a list in order of time. */

import type { ReactNode } from "react";
import { formatMoney, inWords } from "../ui/format";
import { Ago } from "../ui/text";
import { explainReason, type Timeline } from "./orders";

export interface Step {
  key: string;
  time: string;
  title: string;
  detail: ReactNode;
}

const CHARGES: Record<string, string> = {
  succeeded: "The card was charged",
  declined: "The card was declined",
  unknown: "No answer from the gateway",
  failed: "The charge did not happen",
  needs_human: "Held for a person to look at",
};

/** Attempts, refunds and changes of state in one row, oldest first. */
export function stepsOf(timeline: Timeline): Step[] {
  const steps: Step[] = [
    ...timeline.events
      .filter((event) => event.topic === "orders")
      .map((event) => ({ key: `e${event.version}`, time: event.time, title: inWords(event.type.replace("order.", "")), detail: null })),
    ...timeline.attempts.map((attempt) => ({
      key: `a${attempt.key}`,
      time: attempt.updated_at,
      title: CHARGES[attempt.state] ?? `Attempt ${inWords(attempt.state).toLowerCase()}`,
      detail: (
        <>
          {formatMoney(attempt.amount, attempt.currency)} through {attempt.gateway}
          {attempt.reason && <>. {explainReason(attempt.reason)}</>}
          {attempt.charge_id && <code className="d-block text-secondary text-break">{attempt.charge_id}</code>}
        </>
      ),
    })),
    ...timeline.refunds.map((refund) => ({
      key: `r${refund.id}`,
      time: refund.updated_at,
      title: refund.held_since ? "Refund held for a person to look at" : `Refund ${inWords(refund.status).toLowerCase()}`,
      detail: (
        <>
          {formatMoney(refund.amount, refund.currency)}
          {refund.reason && <>, {refund.reason}</>}
        </>
      ),
    })),
  ];
  return steps.toSorted((a, b) => a.time.localeCompare(b.time) || a.key.localeCompare(b.key));
}

export function Steps({ timeline }: { timeline: Timeline }) {
  return (
    <ol className="steps">
      {stepsOf(timeline).map((step) => (
        <li key={step.key}>
          <div className="d-flex justify-content-between gap-2">
            <span className="fw-medium">{step.title}</span>
            <span className="small text-secondary text-nowrap">
              <Ago time={step.time} />
            </span>
          </div>
          {step.detail && <div className="small text-secondary">{step.detail}</div>}
        </li>
      ))}
    </ol>
  );
}
