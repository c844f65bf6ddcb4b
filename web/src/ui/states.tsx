/** What a page shows when it has nothing to show: yet, at all, or because something is wrong. */

import { type ReactNode, useEffect } from "react";
import { Problem } from "../api/client";

/** Name the window after the page, for tabs, bookmarks and screen readers. */
function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Tradepost`;
  }, [title]);
}

export function PageHead({ title, lead, children }: { title: string; lead?: ReactNode; children?: ReactNode }) {
  useTitle(title);
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

/** A page that is not there, and the way to one that is. */
export function NotFound({ title, children }: { title: string; children: ReactNode }) {
  useTitle(title);
  return (
    <div className="empty">
      <h1 className="mb-2">{title}</h1>
      <p className="text-secondary mb-0">{children}</p>
    </div>
  );
}

/** Nothing stands under an address: it is unknown, or it can be nobody's (as orders/abc). */
export function isMissing(error: unknown): boolean {
  return error instanceof Problem && (error.status === 404 || error.status === 422);
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

interface ShownProps<T> {
  of: Asked<T>;
  empty?: ReactNode;
  missing?: ReactNode;
  children: (data: T) => ReactNode;
}

/** A query's states in one place: waiting, failed, not to be found, empty, there. */
export function Shown<T>({ of, empty, missing, children }: ShownProps<T>) {
  if (of.data === undefined) {
    if (missing && isMissing(of.error)) return missing;
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
