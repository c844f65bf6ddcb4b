/** Every change as it is committed: filtered, paused, looked into, and copied as a command. */

import { useMemo, useState } from "react";
import { useToast } from "../app/toasts";
import { topicOf } from "../live/cache";
import { useEntries, useLiveState } from "../live/LiveProvider";
import type { Entry } from "../live/stream";
import { Icon } from "../ui/Icon";
import { Empty, PageHead } from "../ui/states";
import { Ago } from "../ui/text";
import { useHistory } from "./history";
import { added, filled, type Row } from "./rows";

export function EventsPage() {
  const [live, setLive] = useState<Row[]>([]);
  const [held, setHeld] = useState<Row[] | null>(null);
  const [topic, setTopic] = useState("");
  const [type, setType] = useState("");
  const state = useLiveState();
  const history = useHistory();

  useEntries((told) => (held ? setHeld(added(held, told)) : setLive((old) => added(old, told))));

  const isPaused = held !== null;
  const rows = useMemo(() => filled(live, history.data ?? []), [live, history.data]);
  const shown = rows.filter((row) => row.kind === "notice" || ((!topic || topicOf(row.entry) === topic) && (!type || row.entry.type === type)));
  const entries = rows.flatMap((row) => (row.kind === "entry" ? [row.entry] : []));
  return (
    <>
      <PageHead title="Events" lead="Every change, as it is committed.">
        <Filter label="Topic" value={topic} onChange={setTopic} options={entries.map(topicOf)} />
        <Filter label="Type" value={type} onChange={setType} options={entries.map((entry) => entry.type)} />
        <button
          type="button"
          className="btn btn-outline-secondary d-inline-flex gap-2 align-items-center"
          aria-pressed={isPaused}
          onClick={() => {
            if (held) setLive(held);
            setHeld(held ? null : live);
          }}
        >
          <Icon name={isPaused ? "play" : "pause"} />
          {isPaused ? `Go on (${held.length - live.length} waiting)` : "Pause"}
        </button>
      </PageHead>
      <div className="panel panel-flush feed">
        {shown.length === 0 && <Nothing isLive={state === "live" && !history.isLoading} isFiltered={Boolean(topic || type)} />}
        {shown.map((row) => (row.kind === "notice" ? <Gap key={row.key} detail={row.detail} /> : <EntryRow key={row.key} entry={row.entry} />))}
      </div>
    </>
  );
}

function Nothing({ isLive, isFiltered }: { isLive: boolean; isFiltered: boolean }) {
  if (!isLive) return <Empty title="Waiting for the connection." />;
  if (isFiltered) return <Empty title="Nothing of this kind has happened lately.">Choose another topic or type.</Empty>;
  return <Empty title="Nothing has happened yet.">What is committed appears here at once.</Empty>;
}

function Gap({ detail }: { detail: string }) {
  return (
    <p className="feed-gap mb-0" role="alert">
      Here entries may be missing: what is on the other pages was asked for again, and the newest entries here. <span className="text-secondary">{detail}</span>
    </p>
  );
}

function Filter({ label, value, onChange, options }: { label: string; value: string; onChange: (value: string) => void; options: string[] }) {
  const all = [...new Set([...options, ...(value ? [value] : [])])].toSorted();
  return (
    <select className="form-select w-auto" aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">{label}: all</option>
      {all.map((option) => (
        <option key={option}>{option}</option>
      ))}
    </select>
  );
}

function EntryRow({ entry }: { entry: Entry }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="feed-row" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span className="text-secondary num">{entry.id}</span>
        <span className="fw-medium">{entry.type}</span>
        <span className="text-truncate">{entry.subject}</span>
        <span className="text-secondary text-nowrap">
          <Ago time={entry.time} />
        </span>
      </button>
      {isOpen && <Details entry={entry} />}
    </>
  );
}

function Details({ entry }: { entry: Entry }) {
  const say = useToast();
  const command = asCurl(entry, window.location.origin);
  return (
    <div className="p-3 d-grid gap-2">
      <pre className="code" tabIndex={0}>
        {JSON.stringify(entry, null, 2)}
      </pre>
      <div>
        {"clipboard" in navigator ? (
          <button type="button" className="btn btn-sm btn-outline-secondary d-inline-flex gap-2 align-items-center" onClick={() => void navigator.clipboard.writeText(command).then(() => say("The command is on the clipboard."))}>
            <Icon name="copy" />
            Copy as curl
          </button>
        ) : (
          // Browsers lend the clipboard to secure pages only.
          <code className="text-break">{command}</code>
        )}
      </div>
    </div>
  );
}

/** The command that follows this entry's topic from just after it. */
export function asCurl(entry: Entry, origin: string): string {
  const topic = topicOf(entry);
  return `curl -N -H 'Last-Event-ID: ${topic}:${entry.id}' '${origin}/events?topics=${topic}'`;
}
