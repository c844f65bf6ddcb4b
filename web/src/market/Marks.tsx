/** How far a figure can be trusted: how old it is, where it is from, and whether it is stale. */

import { Ago } from "../ui/text";

interface Fresh {
  as_of: string;
  source: string;
  stale: boolean;
  session?: string;
}

const SESSIONS: Record<string, string> = { closed: "market closed", "pre-market": "before hours", "post-market": "after hours" };

export function Marks({ of }: { of: Fresh }) {
  return (
    <span className="d-inline-flex flex-wrap gap-1 align-items-center">
      {of.stale && <span className="tag tag-stale">stale</span>}
      {of.source !== "finnhub" && <span className="tag">{of.source}</span>}
      {of.session && SESSIONS[of.session] && <span className="tag">{SESSIONS[of.session]}</span>}
    </span>
  );
}

export function Age({ of }: { of: Fresh }) {
  return <Ago time={of.as_of} />;
}
