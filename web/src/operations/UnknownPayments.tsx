/** Orders whose charge nobody knows the outcome of, yet. */

import { Link } from "react-router";
import { useOrders } from "../orders/orders";
import { Ago, Money, OrderLink } from "../ui/text";
import { useHeldPayments } from "./operations";

const SHOWN = 5;

export function UnknownPayments() {
  const orders = useOrders("payment_unknown");
  const items = orders.data?.pages[0]?.items.filter((order) => order.status === "payment_unknown") ?? [];
  return (
    <section className="panel" aria-label="Unknown payments">
      <h2>Unknown payments</h2>
      {items.length === 0 ? (
        <p className="text-secondary mb-0">None: every charge is known to have happened or not.</p>
      ) : (
        <ul className="list-unstyled mb-0">
          {items.slice(0, SHOWN).map((order) => (
            <li key={order.id} className="d-flex justify-content-between">
              <OrderLink id={order.id} />
              <Money amount={order.total} currency={order.currency} />
            </li>
          ))}
          {items.length > SHOWN && <Link to="/app/orders?status=payment_unknown">All of them</Link>}
        </ul>
      )}
      <Held />
    </section>
  );
}

/** What no run can find out: `tradepost payments settle` and `settle-refund` say what is so. */
function Held() {
  const held = useHeldPayments();
  if (!held.data?.length) return null;
  return (
    <>
      <h2 className="mt-4">Held for a person</h2>
      <ul className="list-unstyled mb-0">
        {held.data.slice(0, SHOWN).map((each) => (
          <li key={each.key} className="mb-2">
            <div className="d-flex justify-content-between">
              <span>
                {each.refund_id ? `Refund ${each.refund_id} of ` : "Charge of "}
                <OrderLink id={each.order_id} />
              </span>
              <Money amount={each.amount} currency={each.currency} />
            </div>
            <div className="small text-secondary">
              Since <Ago time={each.held_since} />
              {each.reason && <>: {each.reason}</>}
            </div>
          </li>
        ))}
      </ul>
      {held.data.length > SHOWN && <p className="text-secondary mb-0">And {held.data.length - SHOWN} more.</p>}
    </>
  );
}
