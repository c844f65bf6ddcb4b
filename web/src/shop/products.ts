/** The catalogue's queries. */

import { queryOptions, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { api, type Product, type Schemas, unwrap, unwrapPage } from "../api/client";
import { keys } from "../api/keys";

export interface ProductFilter {
  q?: string;
  category?: string;
  in_stock?: "true";
  sort?: Schemas["Sort"];
}

const PAGE = 24;

export function useProducts(filter: ProductFilter) {
  return useInfiniteQuery({
    queryKey: keys.products(filter),
    queryFn: ({ pageParam }) =>
      unwrapPage<Product>(
        api.GET("/products/", { params: { query: { ...filter, limit: PAGE, ...(pageParam && { cursor: pageParam }) } } }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
}

export function productQuery(id: number) {
  return queryOptions({
    queryKey: keys.product(id),
    queryFn: () => unwrap<Product>(api.GET("/products/{product_id}", { params: { path: { product_id: id } } })),
  });
}

export function useProduct(id: number) {
  return useQuery(productQuery(id));
}

const MANY = 100;

/** The categories of the newest products. */
export function useCategories(): string[] {
  const newest = useQuery({
    queryKey: keys.categories,
    queryFn: () => unwrap<Product[]>(api.GET("/products/", { params: { query: { limit: MANY } } })),
    staleTime: 300_000,
  });
  return [...new Set(newest.data?.map((product) => product.category).filter(Boolean))].toSorted();
}
