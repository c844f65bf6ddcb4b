/** The access token and the means to the next one, shared by the tabs of this browser. */

const KEY = "tradepost.token";
const LOCK = "tradepost.token.renewal";
const TIMEOUT_MS = 10_000;

interface Stored {
  access: string;
  refresh: string;
}

interface Issued {
  access_token: string;
  refresh_token: string;
}

const listeners = new Set<() => void>();

function read(): Stored | null {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "null") as Stored | null;
  } catch {
    return null;
  }
}

function tell(): void {
  for (const listener of listeners) listener();
}

/** Call back whenever somebody signs in or out, in this tab or another. */
export function onTokenChange(listener: () => void): () => void {
  const heard = (event: StorageEvent) => event.key === KEY && listener();
  listeners.add(listener);
  window.addEventListener("storage", heard);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", heard);
  };
}

export function accessToken(): string | null {
  return read()?.access ?? null;
}

export function keepToken(issued: Issued): void {
  localStorage.setItem(KEY, JSON.stringify({ access: issued.access_token, refresh: issued.refresh_token }));
  tell();
}

export function dropToken(): void {
  localStorage.removeItem(KEY);
  tell();
}

/**
 * Get the next access token; tell whether there is one.
 *
 * A refresh token counts once, and its second use ends the session for everybody. So one tab at a
 * time renews, and whoever waited for it takes what it got.
 */
export async function renewToken(): Promise<boolean> {
  const before = read();
  if (!before) return false;
  return locked(async () => {
    const now = read();
    if (now && now.access !== before.access) return true;
    let response: Response;
    try {
      response = await fetch("/auth/refresh", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ refresh_token: before.refresh }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      return false;
    }
    if (response.ok) {
      const issued = (await response.json()) as Issued;
      localStorage.setItem(KEY, JSON.stringify({ access: issued.access_token, refresh: issued.refresh_token }));
    } else if (response.status < 500 && response.status !== 429) {
      dropToken();
    }
    return response.ok;
  });
}

let renewal: Promise<boolean> | null = null;

async function locked(renew: () => Promise<boolean>): Promise<boolean> {
  if ("locks" in navigator) return await navigator.locks.request(LOCK, renew);
  renewal ??= renew().finally(() => (renewal = null));
  return renewal;
}
