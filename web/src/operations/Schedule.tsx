/** What runs by itself, how often, and when it did last. */

import { formatSeconds } from "../ui/format";
import { Shown } from "../ui/states";
import { Ago } from "../ui/text";
import { useSchedule } from "./operations";

export function Schedule() {
  const schedule = useSchedule();
  return (
    <section className="panel panel-flush table-scroll" aria-label="Schedule">
      <h2 className="p-3 mb-0">Schedule</h2>
      <Shown of={schedule}>
        {(found) => (
          <table className="table table-sm">
            <thead>
              <tr>
                <th>Task</th>
                <th className="right">Every</th>
                <th className="right">Last</th>
                <th className="right">Next</th>
              </tr>
            </thead>
            <tbody>
              {found.map((entry) => (
                <tr key={entry.name}>
                  <td>{entry.task}</td>
                  <td className="right num">{formatSeconds(entry.every_s)}</td>
                  <td className="right text-secondary">{entry.last_run_at ? <Ago time={entry.last_run_at} /> : "–"}</td>
                  <td className="right text-secondary">{entry.next_run_at ? <Ago time={entry.next_run_at} /> : "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Shown>
    </section>
  );
}
