/**
 * What a cart will cost, to the cent as the server charges it: the fee is rounded half up for one
 * unit, then multiplied. Amounts are whole cents, since fractions of a dollar do not add up.
 */

export interface Priced {
  price: number;
  quantity: number;
}

export interface Sums {
  subtotal: number;
  fee: number;
  total: number;
}

/** The decimals of a currency: 2 for USD, 0 for JPY. */
export function decimalsOf(currency: string): number {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}

/** The fee of one unit in minor units; `rate` as the server writes it, as in "0.20". */
export function unitFee(priceMinor: number, rate: string): number {
  const [whole = "0", fraction = ""] = rate.split(".");
  const scale = 10n ** BigInt(fraction.length);
  const exact = BigInt(priceMinor) * BigInt(whole + fraction);
  return Number((exact * 2n + scale) / (scale * 2n));
}

export function sumUp(lines: Priced[], currency: string, rate: string): Sums {
  const unit = 10 ** decimalsOf(currency);
  let subtotal = 0;
  let fee = 0;
  for (const line of lines) {
    const minor = Math.round(line.price * unit);
    subtotal += minor * line.quantity;
    fee += unitFee(minor, rate) * line.quantity;
  }
  return { subtotal: subtotal / unit, fee: fee / unit, total: (subtotal + fee) / unit };
}
