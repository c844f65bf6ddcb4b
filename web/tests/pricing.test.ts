import { describe, expect, it } from "vitest";
import { sumUp, unitFee } from "../src/shop/pricing";

describe("what a cart costs", () => {
  it.each([
    [5000, "0.20", 1000],
    [3333, "0.20", 667],
    [1, "0.20", 0],
    [3, "0.20", 1],
    [25, "0.5", 13],
    [10, "0.05", 1],
    [999_999_999, "0.20", 200_000_000],
    [100, "0", 0],
    [100, "1", 100],
  ])("takes of %i at a rate of %s a fee of %i", (price, rate, fee) => {
    expect(unitFee(price, rate)).toBe(fee);
  });

  it("is the old example to the cent", () => {
    const cart = [
      { price: 50, quantity: 1 },
      { price: 33.33, quantity: 1 },
    ];

    expect(sumUp(cart, "USD", "0.20")).toEqual({ subtotal: 83.33, fee: 16.67, total: 100 });
  });

  it("multiplies the rounded fee of one unit", () => {
    expect(sumUp([{ price: 0.13, quantity: 10 }], "USD", "0.20")).toEqual({ subtotal: 1.3, fee: 0.3, total: 1.6 });
  });

  it("knows currencies without cents", () => {
    expect(sumUp([{ price: 101, quantity: 2 }], "JPY", "0.20")).toEqual({ subtotal: 202, fee: 40, total: 242 });
  });
});
