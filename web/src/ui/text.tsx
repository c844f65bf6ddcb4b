/** Amounts, times and states: each looks the same wherever it stands. */

import { Link } from "react-router";
import { useNow } from "./clock";
import { formatAgo, formatExact, formatMoney, formatPercent, inWords } from "./format";

export function Money({ amount, currency, strong }: { amount: number; currency: string; strong?: boolean }) {
  return <span className={strong ? "num fw-semibold" : "num"}>{formatMoney(amount, currency)}</span>;
}

/** How long ago, with the exact time on hover. */
export function Ago({ time }: { time: string | number }) {
  const now = useNow();
  const date = new Date(time);
  return (
    <time dateTime={date.toISOString()} title={formatExact(date)} className="num">
      {formatAgo(date, now)}
    </time>
  );
}

export function Change({ percent }: { percent: number | null }) {
  if (percent === null) return <span className="text-secondary">–</span>;
  const tone = percent > 0 ? "up" : percent < 0 ? "down" : "flat";
  return (
    <span className={`change change-${tone} num`}>
      <span aria-hidden="true">{percent > 0 ? "▲" : percent < 0 ? "▼" : "■"}</span> {formatPercent(percent)}
    </span>
  );
}

const TONES: Record<string, string> = {
  pending: "wait",
  paid: "go",
  completed: "good",
  succeeded: "good",
  done: "good",
  settled: "good",
  payment_unknown: "warn",
  unknown: "warn",
  needs_human: "bad",
  payment_failed: "bad",
  declined: "bad",
  failed: "bad",
  refunding: "wait",
  refunded: "calm",
  cancelled: "calm",
  expired: "calm",
  created: "wait",
  sending: "wait",
  requested: "wait",
  running: "go",
  retried: "go",
};

/** A state in words, with a dot whose colour only repeats them. */
export function Status({ name }: { name: string }) {
  return (
    <span className={`status status-${TONES[name] ?? "calm"}`}>
      <span className="status-dot" aria-hidden="true" />
      {inWords(name)}
    </span>
  );
}

export function OrderLink({ id }: { id: number }) {
  return (
    <Link to={`/app/orders/${id}`} className="num">
      #{id}
    </Link>
  );
}
