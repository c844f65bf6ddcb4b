/** Who one is here, and how to change name, address and password, or leave. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api, Problem, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { type Person, useSession } from "../app/session";
import { useToast } from "../app/toasts";
import { Field, PASSWORD_LENGTH } from "../ui/Field";
import { inWords } from "../ui/format";
import { Failure, PageHead } from "../ui/states";
import { Ago } from "../ui/text";

export function ProfilePage() {
  const { person, isOpen, signOut } = useSession();
  const navigate = useNavigate();
  if (!person) return null;
  return (
    <>
      <PageHead title={person.name} lead={person.email}>
        {!isOpen && (
          <button type="button" className="btn btn-outline-secondary" onClick={() => void signOut().then(() => navigate("/app/market"))}>
            Sign out
          </button>
        )}
      </PageHead>
      <div className="columns">
        {isOpen ? (
          <p className="panel mb-0">This run is open: whoever calls from this machine is the demo admin, without a password. Start it with AUTH_MODE=required to have accounts.</p>
        ) : (
          <div className="d-grid gap-3">
            <AccountForm person={person} />
            <PasswordForm />
          </div>
        )}
        <section className="panel" aria-label="Facts">
          <dl className="facts">
            <dt>Role</dt>
            <dd>{inWords(person.role)}</dd>
            <dt>Number</dt>
            <dd className="num">{person.id}</dd>
            <dt>Since</dt>
            <dd>
              <Ago time={person.created_at} />
            </dd>
          </dl>
        </section>
      </div>
    </>
  );
}

function AccountForm({ person }: { person: Person }) {
  const [name, setName] = useState(person.name);
  const [email, setEmail] = useState(person.email);
  const [current, setCurrent] = useState("");
  const cache = useQueryClient();
  const say = useToast();
  const isNewAddress = email.trim().toLowerCase() !== person.email;
  const change = useMutation({
    mutationFn: () =>
      unwrap(
        api.PATCH("/users/{user_id}", {
          params: { path: { user_id: person.id } },
          body: isNewAddress ? { name, email, current_password: current } : { name },
        }),
      ),
    onSuccess: async () => {
      setCurrent("");
      await cache.invalidateQueries({ queryKey: keys.me });
      say("Your account is changed.");
    },
  });
  const problem = change.error instanceof Problem ? change.error : null;
  return (
    <form
      className="panel d-grid gap-3"
      aria-label="Account"
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate();
      }}
    >
      <h2 className="mb-0">Account</h2>
      <Field label="Name" value={name} onChange={setName} autoComplete="name" error={problem?.of("name")} required />
      <Field label="E-mail" type="email" value={email} onChange={setEmail} autoComplete="email" error={problem?.of("email")} help="The name to sign in with." required />
      {isNewAddress && <Field label="Your password" type="password" value={current} onChange={setCurrent} autoComplete="current-password" help="A new address takes it." required />}
      {change.error && !problem?.body.errors?.length && <Failure error={change.error} />}
      <div>
        <button type="submit" className="btn btn-primary" disabled={change.isPending}>
          Save
        </button>
      </div>
    </form>
  );
}

function PasswordForm() {
  const [current, setCurrent] = useState("");
  const [wanted, setWanted] = useState("");
  const say = useToast();
  const change = useMutation({
    mutationFn: () => unwrap(api.POST("/auth/password", { body: { current_password: current, new_password: wanted } })),
    onSuccess: () => {
      setCurrent("");
      setWanted("");
      say("The password is changed. You stay signed in here, and nowhere else.");
    },
  });
  const problem = change.error instanceof Problem ? change.error : null;
  return (
    <form
      className="panel d-grid gap-3"
      aria-label="Password"
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate();
      }}
    >
      <h2 className="mb-0">Password</h2>
      <Field label="Current password" type="password" value={current} onChange={setCurrent} autoComplete="current-password" error={problem?.of("current_password")} required />
      <Field label="New password" type="password" value={wanted} onChange={setWanted} autoComplete="new-password" error={problem?.of("new_password")} help={`${PASSWORD_LENGTH}. Changing it ends your other sign-ins.`} required />
      {change.error && !problem?.body.errors?.length && <Failure error={change.error} />}
      <div>
        <button type="submit" className="btn btn-primary" disabled={change.isPending}>
          Change password
        </button>
      </div>
    </form>
  );
}
