import httpx
import pytest

from tests.api.conftest import PASSWORD, Api, Person, register, sign_in


def test_user_sees_his_own_record(closed_api: Api, person: Person) -> None:
    with closed_api.client(person.token) as client:
        answer = client.get(f"/users/{person.id}")

    assert answer.json()["email"] == person.email
    assert answer.json()["is_disabled"] is False


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_anothers_record_is_as_unknown_as_none(
    closed_api: Api, person: Person, admin: Person, method: str
) -> None:
    body = {"name": "Mallory"} if method == "PATCH" else None
    with closed_api.client(person.token) as client:
        anothers = client.request(method, f"/users/{admin.id}", json=body)
        none = client.request(method, "/users/999999999", json=body)

    assert anothers.status_code == none.status_code == httpx.codes.NOT_FOUND
    assert anothers.json()["code"] == none.json()["code"] == "user_not_found"


@pytest.mark.parametrize("path", ["/users/", "/users/1"])
def test_records_are_not_for_nobody(closed_api: Api, path: str) -> None:
    with closed_api.client() as client:
        answer = client.get(path)

    assert answer.status_code == httpx.codes.UNAUTHORIZED


def test_user_changes_his_name_and_with_his_password_his_address(
    closed_api: Api, person: Person
) -> None:
    change = {"name": "Countess", "email": f"x{person.email}"}
    with closed_api.client(person.token) as client:
        refused = [
            client.patch(f"/users/{person.id}", json=change | said)
            for said in ({}, {"current_password": f"not {PASSWORD}"}, {"role": "user"})
        ]
        same = client.patch(f"/users/{person.id}", json={"email": person.email.upper()})
        answer = client.patch(f"/users/{person.id}", json=change | {"current_password": PASSWORD})

    assert [one.json()["code"] for one in refused] == [
        "password_needed", "wrong_password", "role_required"
    ]  # fmt: skip
    assert (same.status_code, same.json()["email"]) == (httpx.codes.OK, person.email)
    assert (answer.json()["name"], answer.json()["email"]) == ("Countess", f"x{person.email}")


def test_admin_changes_anothers_address_without_a_password(
    closed_api: Api, admin: Person, person: Person
) -> None:
    with closed_api.client(admin.token) as client:
        anothers = client.patch(f"/users/{person.id}", json={"email": f"y{person.email}"})
        own = client.patch(f"/users/{admin.id}", json={"email": f"y{admin.email}"})

    assert anothers.json()["email"] == f"y{person.email}"
    assert own.json()["code"] == "password_needed"


@pytest.mark.parametrize("change", [{"role": "admin"}, {"is_disabled": False}])
def test_user_does_not_raise_himself(
    closed_api: Api, person: Person, change: dict[str, object]
) -> None:
    with closed_api.client(person.token) as client:
        answer = client.patch(f"/users/{person.id}", json=change)
        me = client.get("/auth/me")

    assert answer.status_code == httpx.codes.FORBIDDEN
    assert answer.json()["code"] == "role_required"
    assert me.json()["role"] == "user"


def test_user_removes_himself_and_his_token_ends(closed_api: Api, person: Person) -> None:
    with closed_api.client(person.token) as client:
        removed = client.delete(f"/users/{person.id}")
        afterwards = client.get("/auth/me")

    assert removed.status_code == httpx.codes.NO_CONTENT
    assert afterwards.json()["code"] == "token_invalid"


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {})])
def test_all_records_are_for_admins_only(
    closed_api: Api, person: Person, method: str, body: dict[str, str] | None
) -> None:
    with closed_api.client(person.token) as client:
        answer = client.request(method, "/users/", json=body)

    assert answer.status_code == httpx.codes.FORBIDDEN
    assert answer.json()["code"] == "role_required"


def test_admin_adds_a_user_with_a_role(closed_api: Api, admin: Person) -> None:
    new = {"email": f"op-{admin.email}", "password": PASSWORD, "name": "Op", "role": "operator"}
    with closed_api.client(admin.token) as client:
        made = client.post("/users/", json=new)
        found = client.get(made.headers["location"])

    assert made.status_code == httpx.codes.CREATED
    assert made.json()["role"] == "operator"
    assert found.json() == made.json()


def test_admin_disables_a_user_and_his_token_ends(
    closed_api: Api, admin: Person, person: Person
) -> None:
    with closed_api.client(admin.token) as client:
        changed = client.patch(f"/users/{person.id}", json={"is_disabled": True})
    with closed_api.client(person.token) as client:
        me = client.get("/auth/me")
        token = client.post("/auth/token", data={"username": person.email, "password": PASSWORD})

    assert changed.json()["is_disabled"] is True
    assert me.status_code == httpx.codes.UNAUTHORIZED
    assert token.status_code == httpx.codes.UNAUTHORIZED


def test_new_role_counts_at_once(closed_api: Api, admin: Person, person: Person) -> None:
    with closed_api.client(admin.token) as client:
        client.patch(f"/users/{person.id}", json={"role": "admin"})
    with closed_api.client(person.token) as client:
        answer = client.get("/users/", params={"limit": 1})

    assert answer.status_code == httpx.codes.OK


def test_list_is_paged_to_its_end_without_a_gap(closed_api: Api, admin: Person) -> None:
    made = [register(closed_api).id for _ in range(3)]

    seen: list[int] = []
    with closed_api.client(admin.token) as client:
        url = "/users/?limit=2"
        while url:
            page = client.get(url)
            seen += [user["id"] for user in page.json()]
            url = page.links.get("next", {}).get("url", "")

    assert set(made) < set(seen)
    assert seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize("user_id", ["0", "-1", "1.5", "abc", str(2**63), "9" * 400])
def test_id_that_cannot_be_is_refused(closed_api: Api, admin: Person, user_id: str) -> None:
    with closed_api.client(admin.token) as client:
        answer = client.get(f"/users/{user_id}")

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["errors"][0]["field"] == "user_id"


def test_collection_answers_with_and_without_its_slash(closed_api: Api, admin: Person) -> None:
    new = {"email": f"slash-{admin.email}", "password": PASSWORD, "name": "Slash"}
    with closed_api.client(admin.token) as client:
        made = client.post("/users", json=new)
        sign_in(client, new["email"])

    assert made.status_code == httpx.codes.CREATED
