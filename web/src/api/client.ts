/** The API, typed by its own OpenAPI document, and its errors as one class. */

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";
import { accessToken, renewToken } from "./token";

export type Schemas = components["schemas"];
export type Order = Schemas["OrderOut"];
export type Product = Schemas["ProductOut"];

interface ProblemBody {
  title?: string;
  detail?: string;
  code?: string;
  request_id?: string;
  retry_after_s?: number;
  errors?: { field: string; message: string }[];
}

/** What the API refused, and why: RFC 9457's fields. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly body: ProblemBody,
  ) {
    super(body.detail ?? body.title ?? `The server answered ${status}.`);
    this.name = "Problem";
  }

  get code(): string {
    return this.body.code ?? "";
  }

  /** What is wrong with one field of a form, if anything. */
  of(field: string): string | undefined {
    return this.body.errors?.find((error) => error.field.split(".").pop() === field)?.message;
  }
}

/** Nothing answered at all. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached. Try again in a moment.");
    this.name = "Unreachable";
  }
}

const authorize: Middleware = {
  onRequest({ request }) {
    const token = accessToken();
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
};

async function fetchOnceMore(request: Request): Promise<Response> {
  const again = request.clone();
  let response: Response;
  try {
    response = await fetch(request);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (response.status !== 401 || !(await renewToken())) return response;
  again.headers.set("Authorization", `Bearer ${accessToken()}`);
  return fetch(again);
}

export const api = createClient<paths>({ baseUrl: "/", fetch: fetchOnceMore });
api.use(authorize);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Take an answer's data, or throw its problem. */
export async function unwrap<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) throw new Problem(response.status, (error ?? {}) as ProblemBody);
  return data as T;
}

/** Take a page of a list and the cursor of the next one, from its Link header. */
export async function unwrapPage<T>(asked: Promise<Answer<T[]>>): Promise<{ items: T[]; next: string | null }> {
  const answer = await asked;
  const items = await unwrap(Promise.resolve(answer));
  return { items, next: nextCursor(answer.response.headers.get("Link")) };
}

export function nextCursor(link: string | null): string | null {
  const target = link?.match(/<([^>]+)>;\s*rel="?next"?/)?.[1];
  return target ? new URL(target, window.location.origin).searchParams.get("cursor") : null;
}
