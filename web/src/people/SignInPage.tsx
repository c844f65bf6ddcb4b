/** Sign in, or make an account. */

import { useMutation } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Navigate, useSearchParams } from "react-router";
import { api, Problem, unwrap } from "../api/client";
import { keepToken } from "../api/token";
import { useSession } from "../app/session";
import { Failure, PageHead } from "../ui/states";
import { Field, PASSWORD_LENGTH } from "../ui/Field";

async function signIn(email: string, password: string): Promise<void> {
  keepToken(
    await unwrap(
      api.POST("/auth/token", {
        headers: { "Content-Type": "application/x-www-form-urlencoded" },
        body: { username: email, password },
        bodySerializer: (body) => new URLSearchParams(body as unknown as Record<string, string>),
      }),
    ),
  );
}

export function SignInPage() {
  const [isNew, setNew] = useState(false);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [name, setName] = useState("");
  const [search] = useSearchParams();
  const { person } = useSession();
  const id = useId();
  const enter = useMutation({
    mutationFn: async () => {
      if (isNew) await unwrap(api.POST("/auth/register", { body: { email, password, name } }));
      await signIn(email, password);
    },
  });
  if (person) return <Navigate to={ownPath(search.get("next"))} replace />;
  const problem = enter.error instanceof Problem ? enter.error : null;
  return (
    <div className="mx-auto" style={{ maxWidth: "24rem" }}>
      <PageHead title={isNew ? "Make an account" : "Sign in"} />
      <form
        className="panel d-grid gap-3"
        aria-labelledby={id}
        onSubmit={(event) => {
          event.preventDefault();
          enter.mutate();
        }}
      >
        {isNew && <Field label="Name" value={name} onChange={setName} autoComplete="name" error={problem?.of("name")} required />}
        <Field label="E-mail" type="email" value={email} onChange={setEmail} autoComplete="username" error={problem?.of("email")} required />
        <Field label="Password" type="password" value={password} onChange={setPassword} autoComplete={isNew ? "new-password" : "current-password"} error={problem?.of("password")} {...(isNew && { help: `${PASSWORD_LENGTH}, of any kind.` })} required />
        {enter.error && !problem?.body.errors?.length && <Failure error={enter.error} />}
        <button type="submit" className="btn btn-primary" disabled={enter.isPending}>
          {isNew ? "Make the account" : "Sign in"}
        </button>
        <button type="button" className="btn btn-link" onClick={() => { setNew(!isNew); enter.reset(); }}>
          {isNew ? "I have an account" : "I am new here"}
        </button>
      </form>
    </div>
  );
}

/** Only a path of this dashboard: whatever else stood in the address would lead elsewhere. */
export function ownPath(next: string | null): string {
  return next?.startsWith("/app/") ? next : "/app/market";
}
