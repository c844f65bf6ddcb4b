/** The cart and the checkout: what will be charged is what is shown, or nothing is charged. */

import { useMutation, useQueries } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link, useNavigate } from "react-router";
import { api, type Order, Problem, type Product, unwrap } from "../api/client";
import { useSession } from "../app/session";
import { Empty, Failure, Loading, PageHead } from "../ui/states";
import { Money } from "../ui/text";
import { CARDS } from "./cards";
import { MOST_OF_ONE, useCart } from "./cart";
import { Picture } from "./Picture";
import { type Priced, sumUp, type Sums } from "./pricing";
import { productQuery } from "./products";

interface Line extends Priced {
  product: Product;
}

export function CartPage() {
  const cart = useCart();
  const ids = Object.keys(cart.lines).map(Number);
  const products = useQueries({ queries: ids.map(productQuery) });
  if (ids.length === 0) {
    return (
      <>
        <PageHead title="Cart" />
        <Empty title="The cart is empty.">
          <Link to="/app/shop">Have a look at the shop.</Link>
        </Empty>
      </>
    );
  }
  if (products.some((product) => product.isPending)) return <Loading rows={4} />;
  const lines = products.flatMap(({ data }) =>
    data ? [{ product: data, price: data.price, quantity: cart.lines[data.id] ?? 0 }] : [],
  );
  const gone = ids.filter((_, at) => products[at]?.error);
  return (
    <>
      <PageHead title="Cart" />
      {gone.length > 0 && <Gone ids={gone} error={products.find(({ error }) => error)?.error} />}
      <div className="columns">
        <div className="panel panel-flush table-scroll">
          <Lines lines={lines} />
        </div>
        {lines.length > 0 && <Checkout lines={lines} />}
      </div>
    </>
  );
}

function Gone({ ids, error }: { ids: number[]; error: unknown }) {
  const cart = useCart();
  if (!(error instanceof Problem && error.status === 404)) return <Failure error={error} />;
  return (
    <div className="alert alert-warning d-flex justify-content-between align-items-center">
      {ids.length === 1 ? "A product in the cart is no longer sold." : "Some products in the cart are no longer sold."}
      <button type="button" className="btn btn-sm btn-outline-secondary" onClick={() => ids.forEach((id) => cart.setQuantity(id, 0))}>
        Take out
      </button>
    </div>
  );
}

function Lines({ lines }: { lines: Line[] }) {
  const { setQuantity } = useCart();
  return (
    <table className="table">
      <thead>
        <tr>
          <th>Product</th>
          <th className="right">Price</th>
          <th>Quantity</th>
          <th>
            <span className="visually-hidden">Take out</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {lines.map(({ product, quantity }) => (
          <tr key={product.id}>
            <td>
              <div className="d-flex align-items-center gap-3">
                <div className="d-none d-sm-block" style={{ width: "3.5rem", fontSize: "0.45em" }}>
                  <Picture product={product} />
                </div>
                <Link to={`/app/shop/${product.id}`}>{product.name}</Link>
              </div>
            </td>
            <td className="right">
              <Money amount={product.price} currency={product.currency} />
            </td>
            <td>
              <input type="number" className="form-control form-control-sm quantity" aria-label={`Quantity of ${product.name}`} min={1} max={MOST_OF_ONE} value={quantity} onChange={(event) => setQuantity(product.id, event.target.valueAsNumber || 1)} />
              {quantity > product.quantity && <p className="small change-down mb-0 num">Only {product.quantity} in stock</p>}
            </td>
            <td className="right">
              <button type="button" className="btn btn-sm btn-outline-secondary" onClick={() => setQuantity(product.id, 0)} aria-label={`Remove ${product.name}`}>
                Remove
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Checkout({ lines }: { lines: Line[] }) {
  const { person, home } = useSession();
  const cart = useCart();
  const navigate = useNavigate();
  const [token, setToken] = useState(CARDS[0]!.token);
  const currency = lines[0]!.product.currency;
  const sums = sumUp(lines, currency, home?.fee_rate ?? "0");
  const contents = JSON.stringify([cart.lines, token]);
  // The same cart sent twice, by two clicks or after a lost answer, is one order.
  const [intent, setIntent] = useState(() => ({ contents, key: randomKey() }));
  if (intent.contents !== contents) setIntent({ contents, key: randomKey() });

  const place = useMutation({
    mutationFn: () =>
      unwrap<Order>(
        api.POST("/orders/", {
          params: { header: { "idempotency-key": intent.key } },
          body: {
            items: lines.map(({ product, quantity }) => ({ product_id: product.id, quantity })),
            expected_total: sums.total,
            ...(home?.payments === "simulated" && { payment_token: token }),
          },
        }),
      ),
    onSuccess: (order) => {
      cart.clear();
      void navigate(`/app/orders/${order.id}`);
    },
  });

  return (
    <section className="panel" aria-label="Checkout">
      <Totals sums={sums} currency={currency} />
      {home?.payments === "simulated" && <CardChoice token={token} onChoose={setToken} />}
      {place.error && <Failure error={place.error} />}
      {person ? (
        <button type="button" className="btn btn-primary w-100" disabled={place.isPending || !home} onClick={() => place.mutate()}>
          {place.isPending ? "Placing the order …" : "Place order"}
        </button>
      ) : (
        <Link to="/app/sign-in?next=/app/cart" className="btn btn-primary w-100">
          Sign in to order
        </Link>
      )}
    </section>
  );
}

function Totals({ sums, currency }: { sums: Sums; currency: string }) {
  return (
    <dl className="facts sums mb-3">
      <dt>Goods</dt>
      <dd>
        <Money amount={sums.subtotal} currency={currency} />
      </dd>
      <dt>Fee</dt>
      <dd>
        <Money amount={sums.fee} currency={currency} />
      </dd>
      <dt className="total">Total</dt>
      <dd className="total">
        <Money amount={sums.total} currency={currency} />
      </dd>
    </dl>
  );
}

function CardChoice({ token, onChoose }: { token: string; onChoose: (token: string) => void }) {
  const id = useId();
  return (
    <div className="mb-3">
      <label htmlFor={id} className="form-label">
        Test card
      </label>
      <select id={id} className="form-select" value={token} onChange={(event) => onChoose(event.target.value)}>
        {CARDS.map((card) => (
          <option key={card.token} value={card.token}>
            {card.label}
          </option>
        ))}
      </select>
      <p className="form-text mb-0">{CARDS.find((card) => card.token === token)?.outcome} No real money moves.</p>
    </div>
  );
}

/** randomUUID exists on secure pages only; random values exist everywhere. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
