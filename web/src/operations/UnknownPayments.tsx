/** Orders whose charge nobody knows the outcome of, yet. */

import { Link } from "react-router";
import { useOrders } from "../orders/orders";
import { Money, OrderLink } from "../ui/text";

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
    </section>
  );
}
