/** Who is looking: the person behind the token, the demo admin of an open run, or nobody. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useMemo } from "react";
import { api, Problem, type Schemas, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { accessToken, dropToken, onTokenChange } from "../api/token";

export type Person = Schemas["UserOut"];

interface Session {
  person: Person | null;
  isOperator: boolean;
  isAdmin: boolean;
  isOpen: boolean;
  home: Schemas["Home"] | undefined;
  signOut: () => Promise<void>;
  /** Why it is not known who one is, if so; nobody is signed out by that. */
  error: unknown;
  ask: () => void;
}

const ASK_AGAIN_MS = 15_000;

const SessionContext = createContext<Session | null>(null);

async function findPerson(): Promise<Person | null> {
  try {
    return await unwrap(api.GET("/auth/me"));
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) return null;
    throw error;
  }
}

async function signOut(): Promise<void> {
  if (accessToken()) await api.POST("/auth/logout").catch(() => undefined);
  dropToken();
}

export function SessionProvider({ children }: { children: (session: Session) => ReactNode }) {
  const cache = useQueryClient();
  const me = useQuery({ queryKey: keys.me, queryFn: findPerson, staleTime: Number.POSITIVE_INFINITY, refetchInterval: ({ state }) => (state.error ? ASK_AGAIN_MS : false) });
  const home = useQuery({
    queryKey: keys.home,
    queryFn: () => unwrap(api.GET("/", { headers: { Accept: "application/json" } })) as Promise<Schemas["Home"]>,
    staleTime: Number.POSITIVE_INFINITY,
  });

  useEffect(() => onTokenChange(() => cache.resetQueries()), [cache]);

  const person = me.data ?? null;
  const error = me.data === undefined ? me.error : null;
  const { refetch } = me;
  const session = useMemo<Session>(
    () => ({
      person,
      isOperator: person?.role === "operator" || person?.role === "admin",
      isAdmin: person?.role === "admin",
      isOpen: home.data?.auth_mode === "open",
      home: home.data,
      signOut,
      error,
      ask: () => void refetch(),
    }),
    [person, home.data, error, refetch],
  );
  if (me.isPending) return <div className="splash" role="status" aria-label="Loading" />;
  return <SessionContext value={session}>{children(session)}</SessionContext>;
}

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("useSession: there is no SessionProvider above.");
  return session;
}
