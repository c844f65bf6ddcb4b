/** Everybody who has an account: their role, and whether they may come in. */

import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, Problem, type Schemas, unwrap, unwrapPage } from "../api/client";
import { keys } from "../api/keys";
import { useSession } from "../app/session";
import { useToast } from "../app/toasts";
import { Field, PASSWORD_LENGTH } from "../ui/Field";
import { inWords } from "../ui/format";
import { More } from "../ui/More";
import { Failure, Loading, PageHead } from "../ui/states";
import { Ago } from "../ui/text";

type User = Schemas["UserRecord"];
const ROLES: Schemas["Role"][] = ["user", "operator", "admin"];

export function UsersPage() {
  const users = useInfiniteQuery({
    queryKey: keys.users,
    queryFn: ({ pageParam }) => unwrapPage<User>(api.GET("/users/", { params: { query: pageParam ? { cursor: pageParam } : {} } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
  });
  const [isAdding, setAdding] = useState(false);
  return (
    <>
      <PageHead title="Users">
        <button type="button" className="btn btn-primary" onClick={() => setAdding(!isAdding)} aria-expanded={isAdding}>
          Add a user
        </button>
      </PageHead>
      {isAdding && <AddForm onDone={() => setAdding(false)} />}
      {users.isPending ? (
        <Loading rows={5} />
      ) : users.data ? (
        <>
          <div className="panel panel-flush table-scroll">
            <table className="table">
              <thead>
                <tr>
                  <th>Name</th>
                  <th>E-mail</th>
                  <th>Role</th>
                  <th>Access</th>
                  <th className="right">Since</th>
                </tr>
              </thead>
              <tbody>
                {users.data.pages.flatMap((page) => page.items).map((user) => (
                  <Row key={user.id} user={user} />
                ))}
              </tbody>
            </table>
          </div>
          <More of={users} />
        </>
      ) : (
        <Failure error={users.error} onRetry={users.refetch} />
      )}
    </>
  );
}

function Row({ user }: { user: User }) {
  const { person } = useSession();
  const cache = useQueryClient();
  const say = useToast();
  const change = useMutation({
    mutationFn: (body: Schemas["UserChange"]) => unwrap(api.PATCH("/users/{user_id}", { params: { path: { user_id: user.id } }, body })),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.users }),
    onError: (error) => say(error.message, "danger"),
  });
  const isSelf = user.id === person?.id;
  return (
    <tr>
      <td>{user.name}</td>
      <td>{user.email}</td>
      <td>
        <select className="form-select form-select-sm w-auto" aria-label={`Role of ${user.name}`} disabled={isSelf || change.isPending} value={user.role} onChange={(event) => change.mutate({ role: event.target.value as Schemas["Role"] })}>
          {ROLES.map((role) => (
            <option key={role} value={role}>
              {inWords(role)}
            </option>
          ))}
        </select>
      </td>
      <td>
        <label className="form-check form-switch mb-0">
          <input type="checkbox" className="form-check-input" checked={!user.is_disabled} disabled={isSelf || change.isPending} onChange={(event) => change.mutate({ is_disabled: !event.target.checked })} />
          {user.is_disabled ? "Shut out" : "May sign in"}
        </label>
      </td>
      <td className="right text-secondary">
        <Ago time={user.created_at} />
      </td>
    </tr>
  );
}

function AddForm({ onDone }: { onDone: () => void }) {
  const [form, setForm] = useState({ name: "", email: "", password: "", role: "user" as Schemas["Role"] });
  const cache = useQueryClient();
  const add = useMutation({
    mutationFn: () => unwrap(api.POST("/users/", { body: form })),
    onSuccess: async () => {
      await cache.invalidateQueries({ queryKey: keys.users });
      onDone();
    },
  });
  const problem = add.error instanceof Problem ? add.error : null;
  const set = (field: keyof typeof form) => (value: string) => setForm((old) => ({ ...old, [field]: value }));
  return (
    <form
      className="panel mb-3 d-grid gap-3"
      style={{ maxWidth: "30rem" }}
      onSubmit={(event) => {
        event.preventDefault();
        add.mutate();
      }}
    >
      <Field label="Name" value={form.name} onChange={set("name")} error={problem?.of("name")} required />
      <Field label="E-mail" type="email" value={form.email} onChange={set("email")} error={problem?.of("email")} required />
      <Field label="Password" type="password" value={form.password} onChange={set("password")} error={problem?.of("password")} autoComplete="new-password" help={`${PASSWORD_LENGTH}, of any kind.`} required />
      <label>
        <span className="form-label d-block">Role</span>
        <select className="form-select" value={form.role} onChange={(event) => set("role")(event.target.value)}>
          {ROLES.map((role) => (
            <option key={role} value={role}>
              {inWords(role)}
            </option>
          ))}
        </select>
      </label>
      {add.error && !problem?.body.errors?.length && <Failure error={add.error} />}
      <div className="d-flex gap-2">
        <button type="submit" className="btn btn-primary" disabled={add.isPending}>
          Add
        </button>
        <button type="button" className="btn btn-outline-secondary" onClick={onDone}>
          Not now
        </button>
      </div>
    </form>
  );
}
