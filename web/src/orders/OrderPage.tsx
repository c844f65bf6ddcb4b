/** The receipt: it turns from pending to paid to completed by itself, and says why when it does not. */

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import type { Order } from "../api/client";
import { useSession } from "../app/session";
import { useToast } from "../app/toasts";
import { Failure, NotFound, PageHead, Shown } from "../ui/states";
import { Ago, Money, Status } from "../ui/text";
import { cancelOrder, explainOrder, useOrder, useTimeline } from "./orders";
import { RefundDialog } from "./RefundDialog";
import { Steps } from "./Steps";

export function OrderPage() {
  const id = Number(useParams()["id"]);
  const order = useOrder(id);
  const missing = (
    <NotFound title="There is no such order.">
      <Link to="/app/orders">Look at those that you can see.</Link>
    </NotFound>
  );
  return (
    <Shown of={order} missing={missing}>
      {(found) => <Receipt order={found} />}
    </Shown>
  );
}

function Receipt({ order }: { order: Order }) {
  const timeline = useTimeline(order.id);
  return (
    <>
      <PageHead title={`Order #${order.id}`} lead={<>Placed <Ago time={order.created_at} /></>}>
        <Actions order={order} />
      </PageHead>
      <div className="columns">
        <div>
          <section className="panel" aria-live="polite" aria-label="State">
            <p className="fs-5 mb-1">
              <Status name={order.status} />
            </p>
            <p className="mb-0 text-secondary">{explainOrder(order.status, timeline.data)}</p>
          </section>
          <section className="panel panel-flush" aria-label="Goods">
            <div className="table-scroll">
              <Goods order={order} />
            </div>
            <Sums order={order} />
          </section>
        </div>
        <section className="panel" aria-label="What happened">
          <h2>What happened</h2>
          <Shown of={timeline}>{(found) => <Steps timeline={found} />}</Shown>
        </section>
      </div>
    </>
  );
}

function Goods({ order }: { order: Order }) {
  return (
    <table className="table">
      <thead>
        <tr>
          <th>Product</th>
          <th className="right">Quantity</th>
          <th className="right wide-only">Price</th>
          <th className="right wide-only">Fee</th>
          <th className="right">Sum</th>
        </tr>
      </thead>
      <tbody>
        {order.items.map((line) => (
          <tr key={line.product_id}>
            <td>
              <Link to={`/app/shop/${line.product_id}`}>{line.name}</Link>
            </td>
            <td className="right num">{line.quantity}</td>
            <td className="right wide-only">
              <Money amount={line.unit_price} currency={order.currency} />
            </td>
            <td className="right wide-only">
              <Money amount={line.unit_fee} currency={order.currency} />
            </td>
            <td className="right">
              <Money amount={line.line_total} currency={order.currency} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Below the table, not in it: a wide row must not push the total out of sight. */
function Sums({ order }: { order: Order }) {
  const { currency } = order;
  return (
    <dl className="facts sums receipt-sums">
      <dt>Goods</dt>
      <dd>
        <Money amount={order.subtotal} currency={currency} />
      </dd>
      <dt>Fee</dt>
      <dd>
        <Money amount={order.fee} currency={currency} />
      </dd>
      <dt className="total">Total</dt>
      <dd className="total">
        <Money amount={order.total} currency={currency} />
      </dd>
      {order.refunded > 0 && (
        <>
          <dt>Given back</dt>
          <dd>
            <Money amount={-order.refunded} currency={currency} />
          </dd>
        </>
      )}
    </dl>
  );
}

const CANCELLABLE = new Set(["pending", "payment_unknown"]);
const REFUNDABLE = new Set(["paid", "completed"]);

function Actions({ order }: { order: Order }) {
  const [isRefunding, setRefunding] = useState(false);
  const { isOperator } = useSession();
  const say = useToast();
  const cancel = useMutation({
    mutationFn: () => cancelOrder(order.id),
    onSuccess: () => say(`Order #${order.id} is cancelled.`),
  });
  return (
    <>
      {cancel.error && <Failure error={cancel.error} />}
      {CANCELLABLE.has(order.status) && (
        <button type="button" className="btn btn-outline-danger" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
          Cancel order
        </button>
      )}
      {isOperator && REFUNDABLE.has(order.status) && order.refunded < order.total && (
        <button type="button" className="btn btn-outline-secondary" onClick={() => setRefunding(true)}>
          Refund
        </button>
      )}
      {isRefunding && <RefundDialog order={order} onClose={() => setRefunding(false)} />}
    </>
  );
}
