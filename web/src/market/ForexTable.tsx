/** What one unit of a currency is worth in others. */

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { Shown } from "../ui/states";
import { Age, Marks } from "./Marks";
import { lookAgain } from "./quotes";

const BASES = ["USD", "EUR", "GBP", "JPY", "CHF"];
const names = new Intl.DisplayNames(undefined, { type: "currency" });

export function ForexTable() {
  const [base, setBase] = useState("USD");
  const rates = useQuery({
    queryKey: keys.forex(base),
    queryFn: () => unwrap(api.GET("/market/forex", { params: { query: { base } } })),
    refetchInterval: lookAgain,
  });
  return (
    <>
      <div className="d-flex justify-content-between align-items-center p-3 pb-0">
        <h2 className="mb-0">Currencies</h2>
        <select className="form-select form-select-sm w-auto" aria-label="Base currency" value={base} onChange={(event) => setBase(event.target.value)}>
          {BASES.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </div>
      <div className="p-3 pt-2">
        <Shown of={rates}>
          {(found) => (
            <>
              <p className="small text-secondary mb-2">
                One {base}, <Age of={found} /> <Marks of={found} />
              </p>
              <table className="table table-sm">
                <tbody>
                  {Object.entries(found.quote)
                    .filter(([code]) => code !== base)
                    .toSorted(([a], [b]) => a.localeCompare(b))
                    .slice(0, 12)
                    .map(([code, rate]) => (
                      <tr key={code}>
                        <th scope="row" className="fw-normal px-0">
                          {code} <span className="text-secondary small">{names.of(code)}</span>
                        </th>
                        <td className="right num px-0">{rate.toLocaleString(undefined, { maximumSignificantDigits: 6 })}</td>
                      </tr>
                    ))}
                </tbody>
              </table>
            </>
          )}
        </Shown>
      </div>
    </>
  );
}
