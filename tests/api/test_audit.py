import httpx

from accounts.tables import Role
from tests.api.conftest import PASSWORD, Api, Person, register

THING = {"name": "Thing", "price": 5}


def entries(api: Api, admin: Person, person: Person) -> list[tuple[str, str, str]]:
    with api.client(admin.token) as client:
        listed = client.get("/audit/", params={"user_id": person.id}).json()
    return [(entry["action"], entry["subject"], entry["request_id"]) for entry in listed[::-1]]


def test_what_an_operator_changes_is_written_down_with_its_request(
    closed_api: Api, admin: Person
) -> None:
    operator = register(closed_api, Role.OPERATOR)
    with closed_api.client(operator.token) as client:
        made = client.post("/products/", json=THING, headers={"X-Request-ID": "made-it"})
        path = made.headers["location"]
        client.patch(path, json={"name": "Other"}, headers={"X-Request-ID": "changed-it"})
        client.delete(path, headers={"X-Request-ID": "withdrew-it"})

    assert entries(closed_api, admin, operator) == [
        ("POST /products/", path.replace("/products/", "product/"), "made-it"),
        ("PATCH /products/{product_id}", path.strip("/"), "changed-it"),
        ("DELETE /products/{product_id}", path.strip("/"), "withdrew-it"),
    ]


def test_what_changes_nothing_is_not_written_down(closed_api: Api, admin: Person) -> None:
    operator = register(closed_api, Role.OPERATOR)
    with closed_api.client(operator.token) as client:
        refused = client.patch("/products/999999999", json={"name": "Other"})
        client.get("/orders/")
        client.post("/payments/start")

    assert refused.status_code == httpx.codes.NOT_FOUND
    assert entries(closed_api, admin, operator) == []


def test_customers_leave_no_row(closed_api: Api, admin: Person, person: Person) -> None:
    with closed_api.client(person.token) as client:
        client.patch(f"/users/{person.id}", json={"name": "Countess"})

    assert entries(closed_api, admin, person) == []


def test_admin_adds_and_changes_a_user_and_both_are_written_down(
    closed_api: Api, admin: Person
) -> None:
    new = {"email": f"audited-{admin.email}", "password": PASSWORD, "name": "Ada"}
    with closed_api.client(admin.token) as client:
        made = client.post("/users/", json=new).json()
        client.patch(f"/users/{made['id']}", json={"role": "operator"})
        client.delete(f"/users/{made['id']}")

    assert [entry[:2] for entry in entries(closed_api, admin, admin)] == [
        ("POST /users/", f"users/{made['id']}"),
        ("PATCH /users/{user_id}", f"users/{made['id']}"),
        ("DELETE /users/{user_id}", f"users/{made['id']}"),
    ]
