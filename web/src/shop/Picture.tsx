/** A product's picture, or a coloured tile with its initials where there is none to be had. */

import { useState } from "react";
import type { Product } from "../api/client";

const TILES = 6;

export function Picture({ product }: { product: Pick<Product, "id" | "name" | "image"> }) {
  const [isBroken, setBroken] = useState(false);
  if (/^https?:\/\//.test(product.image) && !isBroken) {
    return <img className="picture picture-img" src={product.image} alt="" loading="lazy" onError={() => setBroken(true)} />;
  }
  return (
    <div className={`picture picture-${product.id % TILES}`} aria-hidden="true">
      {initials(product.name)}
    </div>
  );
}

function initials(name: string): string {
  return name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word.charAt(0).toUpperCase())
    .join("");
}
