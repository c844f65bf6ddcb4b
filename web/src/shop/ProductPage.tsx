/** One product: what it is, what it costs with its fee, and how many there are. */

import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import type { Product } from "../api/client";
import { useSession } from "../app/session";
import { NotFound, PageHead, Shown } from "../ui/states";
import { Money } from "../ui/text";
import { MOST_OF_ONE, useCart } from "./cart";
import { Picture } from "./Picture";
import { sumUp } from "./pricing";
import { useProduct } from "./products";
import { InStock } from "./ShopPage";

export function ProductPage() {
  const product = useProduct(Number(useParams()["id"]));
  const missing = (
    <NotFound title="There is no such product.">
      It may be off sale. <Link to="/app/shop">Have a look at the shop.</Link>
    </NotFound>
  );
  return (
    <Shown of={product} missing={missing}>
      {(found) => <Details product={found} />}
    </Shown>
  );
}

function Details({ product }: { product: Product }) {
  const [quantity, setQuantity] = useState(1);
  const { add } = useCart();
  const { home, isOperator } = useSession();
  const navigate = useNavigate();
  const sums = home && sumUp([{ price: product.price, quantity }], product.currency, home.fee_rate);
  return (
    <>
      <PageHead title={product.name} lead={product.category}>
        <Link to="/app/shop" className="btn btn-outline-secondary">
          All products
        </Link>
        {isOperator && (
          <Link to={`/app/inventory?id=${product.id}`} className="btn btn-outline-secondary">
            Edit
          </Link>
        )}
      </PageHead>
      <div className="columns">
        <div className="panel panel-flush product">
          <Picture product={product} />
          <p className="p-4 mb-0">{product.description || "There is no description."}</p>
        </div>
        <form
          className="panel"
          onSubmit={(event) => {
            event.preventDefault();
            add(product.id, quantity);
            void navigate("/app/cart");
          }}
        >
          <dl className="facts sums mb-3">
            <dt>Price</dt>
            <dd>
              <Money amount={product.price} currency={product.currency} />
            </dd>
            {sums && (
              <>
                <dt>Fee{quantity > 1 && `, ${quantity} pieces`}</dt>
                <dd>
                  <Money amount={sums.fee} currency={product.currency} />
                </dd>
                <dt className="total">Together</dt>
                <dd className="total">
                  <Money amount={sums.total} currency={product.currency} />
                </dd>
              </>
            )}
          </dl>
          <div className="d-flex align-items-center gap-3">
            <input type="number" className="form-control quantity" aria-label="Quantity" min={1} max={Math.min(MOST_OF_ONE, product.quantity)} value={quantity} onChange={(event) => setQuantity(Math.max(1, event.target.valueAsNumber || 1))} />
            <button type="submit" className="btn btn-primary flex-grow-1" disabled={product.quantity === 0}>
              Add to cart
            </button>
          </div>
          <p className="mb-0 mt-2">
            <InStock quantity={product.quantity} />
          </p>
        </form>
      </div>
    </>
  );
}
