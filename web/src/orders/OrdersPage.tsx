/** All orders that one may see, newest first, each with its state as it is now. */

import { Link, useSearchParams } from "react-router";
import type { Order } from "../api/client";
import { useSession } from "../app/session";
import { inWords } from "../ui/format";
import { More } from "../ui/More";
import { Empty, Failure, Loading, PageHead } from "../ui/states";
import { Ago, Money, OrderLink, Status } from "../ui/text";
import { type OrderStatus, STATUSES, useOrders } from "./orders";

export function OrdersPage() {
  const { isOperator } = useSession();
  const [search, setSearch] = useSearchParams();
  const asked = search.get("status");
  const status = STATUSES.find((each) => each === asked) ?? null;
  return (
    <>
      <PageHead title="Orders" lead={isOperator ? "Everybody's, as they change." : "Yours, as they change."}>
        <select className="form-select w-auto" aria-label="State" value={status ?? ""} onChange={(event) => setSearch(event.target.value ? { status: event.target.value } : {}, { replace: true })}>
          <option value="">All states</option>
          {STATUSES.map((each) => (
            <option key={each} value={each}>
              {inWords(each)}
            </option>
          ))}
        </select>
      </PageHead>
      <List status={status} />
    </>
  );
}

function List({ status }: { status: OrderStatus | null }) {
  const orders = useOrders(status);
  const { isOperator } = useSession();
  if (orders.isPending) return <Loading rows={6} />;
  if (!orders.data) return <Failure error={orders.error} onRetry={orders.refetch} />;
  const items = orders.data.pages.flatMap((page) => page.items).filter((order) => !status || order.status === status);
  if (items.length === 0) {
    return (
      <Empty title={status ? "No order is in this state." : "There are no orders yet."}>
        <Link to="/app/shop">Order something.</Link>
      </Empty>
    );
  }
  return (
    <>
      <div className="panel panel-flush table-scroll">
        <table className="table">
          <thead>
            <tr>
              <th>Order</th>
              <th>State</th>
              <th className="wide-only">Goods</th>
              {isOperator && <th className="right wide-only">Customer</th>}
              <th className="right">Total</th>
              <th className="right">Placed</th>
            </tr>
          </thead>
          <tbody>
            {items.map((order) => (
              <Row key={order.id} order={order} withCustomer={isOperator} />
            ))}
          </tbody>
        </table>
      </div>
      <More of={orders} />
    </>
  );
}

function Row({ order, withCustomer }: { order: Order; withCustomer: boolean }) {
  const [first, ...others] = order.items;
  return (
    <tr>
      <td>
        <OrderLink id={order.id} />
      </td>
      <td>
        <Status name={order.status} />
      </td>
      <td className="wide-only">
        {first && `${first.quantity} × ${first.name}`}
        {others.length > 0 && <span className="text-secondary"> and {others.length} more</span>}
      </td>
      {withCustomer && <td className="right num wide-only">{order.user_id}</td>}
      <td className="right">
        <Money amount={order.total} currency={order.currency} />
      </td>
      <td className="right text-secondary text-nowrap">
        <Ago time={order.created_at} />
      </td>
    </tr>
  );
}
