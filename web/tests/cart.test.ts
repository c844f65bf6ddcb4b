import { expect, it } from "vitest";
import { readLines, withQuantity } from "../src/shop/cart";

it("puts, changes and takes out", () => {
  const one = withQuantity({}, 7, 2);

  expect(one).toEqual({ 7: 2 });
  expect(withQuantity(one, 7, 5)).toEqual({ 7: 5 });
  expect(withQuantity(one, 7, 0)).toEqual({});
});

it("never holds more of one than can be ordered", () => {
  expect(withQuantity({}, 7, 5000)).toEqual({ 7: 999 });
});

it.each([null, "no json", "[1]", '{"7": -1}', '{"7": 1.5}', '{"x": 1}', '{"7": "2"}', "null"])("makes an empty cart of %s", (kept) => {
  expect(readLines(kept)).toEqual({});
});
