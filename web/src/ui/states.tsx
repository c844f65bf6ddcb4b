/** What a page shows when it has nothing to show: yet, at all, or because something is wrong. */

import type { ReactNode } from "react";
import { Problem } from "../api/client";

export function PageHead({ title, lead, children }: { title: ReactNode; lead?: ReactNode; children?: ReactNode }) {
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {lead && <p className="text-secondary mb-0">{lead}</p>}
      </div>
      {children && <div className="page-actions">{children}</div>}
    </header>
  );
}

export function Loading({ rows = 3, label = "Loading" }: { rows?: number; label?: string }) {
  return (
    <div role="status" aria-label={label} className="loading">
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} className="loading-row" />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children && <div className="text-secondary">{children}</div>}
    </div>
  );
}

/** What went wrong, what to do, and the id by which the server's log knows it. */
export function Failure({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const problem = error instanceof Problem ? error : null;
  return (
    <div className="alert alert-danger failure" role="alert">
      <div>
        <p className="mb-0">{error instanceof Error ? error.message : "Something went wrong."}</p>
        {problem?.body.request_id && <p className="small mb-0 opacity-75">Request {problem.body.request_id}</p>}
      </div>
      {onRetry && (
        <button type="button" className="btn btn-sm btn-outline-danger" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

/** A query's four states in one place: waiting, failed, empty, there. */
export function Shown<T>({ of, empty, children }: { of: Asked<T>; empty?: ReactNode; children: (data: T) => ReactNode }) {
  if (of.data === undefined) {
    return of.isPending ? <Loading /> : <Failure error={of.error} onRetry={of.refetch} />;
  }
  if (empty && Array.isArray(of.data) && of.data.length === 0) return empty;
  return (
    <>
      {of.error != null && <Failure error={of.error} onRetry={of.refetch} />}
      {children(of.data)}
    </>
  );
}
