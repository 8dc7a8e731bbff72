"""The list of gateways, the forms for one, what was deleted, and the import, over HTTP."""

import re
from collections.abc import Callable

import pytest

from service.api.gateway_import.body import MAX_FILE_BYTES
from service.api.web.validation_errors import MAX_DETAILS
from service.web.blueprints.gateway_import import MAX_FORM_BYTES
from tests.support.api.tokens import make_token
from tests.support.api_server import ApiServer
from tests.support.web_client import WebClient

PASSWORD = "Kx7-schluessel-9"
Start = Callable[..., ApiServer]


@pytest.fixture
def web(api: ApiServer) -> WebClient:
    return WebClient(api)


def values(factory_id: str, **changes: str) -> dict[str, str]:
    return {
        "factory_id": factory_id,
        "gateway_id": "CTC-0001",
        "name": "Press section",
        "url": "ws://127.0.0.1:5000",
        "email": "plant@example.com",
        "password": PASSWORD,
        "model": "",
        "firmware_version": "",
        **changes,
    }


def gateways(api: ApiServer) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = api.call("GET", "/api/gateways").json["data"]
    return listed


def test_a_gateway_is_added_and_changed_and_its_password_is_in_no_page(
    api: ApiServer, web: WebClient
) -> None:
    factory = api.factory()["id"]
    added = web.post("/ui/gateways/new", values(factory))
    assert added.status == 303
    [gateway] = gateways(api)
    assert added.headers["Location"] == f"/ui/gateways/{gateway['id']}"
    path = f"/ui/gateways/{gateway['id']}/edit"
    form = web.get(path)
    assert PASSWORD not in form.html
    [version] = [each.attributes["value"] for each in form.all("input", name="version")]
    changed = web.submit(form, path, values(factory, name="Kiln", password="", version=version))
    assert changed.status == 303
    assert gateways(api)[0]["name"] == "Kiln"
    late = web.submit(form, path, values(factory, name="Oven", password="", version=version))
    assert late.status == 400
    assert "Somebody else changed this gateway meanwhile" in late.text
    assert gateways(api)[0]["name"] == "Kiln"


def test_a_mistake_in_a_gateway_is_shown_at_its_field_without_the_password(
    api: ApiServer, web: WebClient
) -> None:
    factory = api.factory()["id"]
    page = web.post("/ui/gateways/new", values(factory, url="http://x", email="nobody"))
    assert page.status == 400
    assert page.one("div", id="url-errors").text
    assert page.one("div", id="email-errors").text
    assert "Press section" in page.html
    assert PASSWORD not in page.html
    assert gateways(api) == []
    assert web.post("/ui/gateways/new", values(factory)).status == 303
    taken = web.post("/ui/gateways/new", values(factory))
    assert "is taken by another gateway" in taken.one("div", id="gateway_id-errors").text


def test_a_form_that_lacks_fields_is_refused_in_words(api: ApiServer, web: WebClient) -> None:
    page = web.post("/ui/gateways/new", {"factory_id": api.factory()["id"]})
    assert page.status == 400
    assert gateways(api) == []


def test_the_list_is_searched_filtered_and_paged(api: ApiServer, web: WebClient) -> None:
    mill, plant = api.factory(name="Mill"), api.factory(name="Plant")
    for number in range(55):
        api.gateway(mill["id"], f"CTC-{number:02}", name=f"Kiln {number:02}")
    api.gateway(plant["id"], "CTC-99", name="Press")
    page = web.get("/ui/gateways")
    rows = [each for each in page.all("tr") if each.attributes.get("id", "").startswith("gateway-")]
    assert len(rows) == 50
    assert "50 shown of 56" in page.text
    [link] = [each.attributes["href"] for each in page.all("a", rel="next")]
    assert "Press" in web.get(link.replace("&amp;", "&")).text
    found = web.get("/ui/gateways?q=press&state=&factory_id=")
    assert "1 shown of 1" in found.text
    assert "No gateway matches" in web.get("/ui/gateways?state=connected&state=retrying").text
    assert web.get("/ui/gateways?state=nonsense").status == 400


def test_ticked_gateways_are_disconnected_moved_deleted_and_restored(api: ApiServer, web: WebClient) -> None:
    mill, plant = api.factory(name="Mill"), api.factory(name="Plant")
    ids = [api.gateway(mill["id"], f"CTC-{number}")["id"] for number in range(3)]

    def act(action: str, **more: str) -> str:
        done = web.post(
            "/ui/gateways/selected", {"id": ids[:2], "action": action, **more}, form_at="/ui/gateways"
        )
        assert done.status == 303
        return web.get(done.headers["Location"]).text

    assert "2 asked to disconnect." in act("disconnect")
    assert sorted(each["desired_state"] for each in gateways(api)) == [
        "connected",
        "disconnected",
        "disconnected",
    ]
    assert "2 moved." in act("move", factory=plant["id"])
    assert sorted(each["factory_id"] == plant["id"] for each in gateways(api)) == [False, True, True]
    assert "2 deleted" in act("delete")
    assert len(gateways(api)) == 1
    assert "Gateway not found" in act("connect")
    deleted = web.get("/ui/deleted")
    assert len(re.findall(r"/deleted/gateways/[^/]+/restore", deleted.html)) == 2
    restored = web.submit(deleted, f"/ui/deleted/gateways/{ids[0]}/restore", {})
    assert restored.status == 303
    assert len(gateways(api)) == 2
    api.gateway(mill["id"], "CTC-1")
    refused = web.submit(deleted, f"/ui/deleted/gateways/{ids[1]}/restore", {})
    assert (
        "It was not restored. Another gateway has this gateway_id."
        in web.get(refused.headers["Location"]).text
    )


def test_all_that_match_are_disconnected(api: ApiServer, web: WebClient) -> None:
    mill, plant = api.factory(name="Mill"), api.factory(name="Plant")
    api.gateway(mill["id"], "CTC-1")
    api.gateway(plant["id"], "CTC-2")
    values = {"action": "disconnect", "factory_id": mill["id"]}
    done = web.post("/ui/gateways/matching", values, form_at=f"/ui/gateways?factory_id={mill['id']}")
    assert done.status == 303
    assert "1 of 1 were asked to disconnect." in web.get(done.headers["Location"]).text
    assert sorted(each["desired_state"] for each in gateways(api)) == ["connected", "disconnected"]


def test_a_lost_update_is_refused_with_what_is_stored_now(api: ApiServer, web: WebClient) -> None:
    factory = api.factory()["id"]
    gateway = api.gateway(factory, "CTC-0001", name="Press")
    path = f"/ui/gateways/{gateway['id']}/edit"
    form = web.get(path)
    version = form.one("input", name="version").attributes["value"]
    api.call("PATCH", f"/api/gateways/{gateway['id']}", {"name": "Theirs <b>", "model": "X9"})
    sent = values(factory, name="Mine", password="", version=version)
    late = web.submit(form, path, sent)
    assert "Somebody else changed this gateway meanwhile" in late.text
    assert late.one("input", id="name").attributes["value"] == "Mine"
    assert "Stored now: Theirs <b>" in late.one("div", id="name-errors").text
    assert "Stored now: X9" in late.one("div", id="model-errors").text
    version = late.one("input", name="version").attributes["value"]
    assert web.submit(late, path, {**sent, "version": version}).status == 303
    assert gateways(api)[0]["name"] == "Mine"


def test_a_url_that_takes_the_password_again_says_so_at_the_password(api: ApiServer, web: WebClient) -> None:
    factory = api.factory()["id"]
    gateway = api.gateway(factory, "CTC-0001", url="wss://127.0.0.1:5000")
    path = f"/ui/gateways/{gateway['id']}/edit"
    form = web.get(path)
    version = form.one("input", name="version").attributes["value"]
    page = web.submit(form, path, values(factory, password="", version=version))
    assert page.status == 400
    assert "never sent without TLS" in page.one("div", id="password-errors").text


def test_every_factory_can_be_chosen_and_an_edit_moves_no_gateway(api: ApiServer, web: WebClient) -> None:
    for number in range(102):
        api.factory(name=f"Mill {number:03}")
    last = api.factory(name="Plant")["id"]
    gateway = api.gateway(last)
    for path in (f"/ui/gateways/{gateway['id']}/edit", "/ui/gateways"):
        offered = [each.attributes for each in web.get(path).all("option")]
        assert any(each["value"] == last for each in offered), path
    chosen = list(web.get(f"/ui/gateways/{gateway['id']}/edit").all("option"))
    assert [each.text for each in chosen if "selected" in each.attributes] == ["Plant"]


@pytest.mark.parametrize(
    ("view", "sent"),
    [
        ("selected", {"action": "explode"}),
        ("selected", {"action": "disconnect", "id": ["00000000-0000-0000-0000-000000000001"] * 101}),
        ("selected", {"action": "move", "factory": "x"}),
        ("matching", {"action": "explode", "state": "connected"}),
        ("matching", {"action": "disconnect"}),
        ("matching", {"action": "disconnect", "state": "green"}),
        ("matching", {"action": "disconnect", "state": "connected", "q": "Press"}),
    ],
)
def test_what_no_form_sends_is_refused_and_changes_nothing(
    view: str, sent: dict[str, object], api: ApiServer, web: WebClient
) -> None:
    api.gateway(api.factory()["id"])
    assert web.post(f"/ui/gateways/{view}", sent, form_at="/ui/gateways").status == 400
    assert gateways(api)[0]["desired_state"] == "connected"


def test_what_says_that_it_was_deleted_leads_to_its_way_back(api: ApiServer, web: WebClient) -> None:
    factory = api.factory()
    gateway = api.gateway(factory["id"])
    paths = {
        f"/ui/gateways/{gateway['id']}/delete": f"/ui/gateways/{gateway['id']}",
        f"/ui/factories/{factory['id']}/delete": f"/ui/factories/{factory['id']}/delete",
    }
    for path, form_at in paths.items():
        done = web.post(path, {"name": factory["name"]}, form_at=form_at)
        page = web.get(done.headers["Location"])
        assert any(each.attributes["href"] == "/ui/deleted" for each in page.all("a", class_="alert-link")), (
            path
        )


def upload(web: WebClient, text: str, action: str) -> tuple[int, str]:
    """Sends a file as a browser does."""
    page = web.get("/ui/import")
    token = page.one("input", name="csrf_token").attributes["value"]
    head = "--edge\r\nContent-Disposition: form-data; name="
    parts = {"csrf_token": token, "charset": "", "action": action}
    lines = [f'{head}"{name}"\r\n\r\n{value}' for name, value in parts.items()]
    lines.append(f'{head}"file"; filename="g.csv"\r\nContent-Type: text/csv\r\n\r\n{text}')
    body = ("\r\n".join(lines) + "\r\n--edge--\r\n").encode()
    headers = {"Content_Type": "multipart/form-data; boundary=edge", "Sec_Fetch_Site": "same-origin"}
    reply = web.call("POST", "/ui/import", body, headers)
    return reply.status, reply.body.decode()


def test_an_import_is_checked_by_line_and_then_done(api: ApiServer, web: WebClient) -> None:
    factory = api.factory()["id"]
    head = "factory_id;gateway_id;name;url;email;password\n"
    good = f"{factory};CTC-1;Press;ws://127.0.0.1:5000;plant@example.com;{PASSWORD}\n"
    bad = f"{factory};CTC-1;Kiln;http://x;plant@example.com;{PASSWORD}\n"
    status, text = upload(web, head + good + bad, "check")
    assert status == 400
    assert re.search(r'data-label="line">3</td><td data-label="column">url', text)
    assert PASSWORD not in text
    status, text = upload(web, head + good, "check")
    assert (status, "1 gateway can be imported" in text) == (200, True)
    assert gateways(api) == []
    assert PASSWORD not in text
    big = head + "".join(good.replace("CTC-1", f"CTC-{number}") for number in range(2, 9000))
    assert len(big) > 2**20 / 2
    status, text = upload(web, big, "import")
    assert status == 303
    assert api.call("GET", "/api/gateways").json["pagination"]["total"] == 8998


def test_without_a_file_an_import_says_so(web: WebClient) -> None:
    status, text = upload(web, "", "check")
    assert status == 400
    assert "must" in text


def test_too_large_a_file_names_the_bound_of_files(web: WebClient) -> None:
    for size in (MAX_FILE_BYTES + 1, MAX_FORM_BYTES + 1):
        status, text = upload(web, "x" * size, "check")
        assert (status, "16 MiB" in text, "1 MiB." in text) == (413, True, False), size


def test_the_mistakes_are_called_the_first_only_where_there_are_more(api: ApiServer, web: WebClient) -> None:
    factory = api.factory()["id"]
    head = "factory_id;gateway_id;name;url;email;password\n"
    for count in (MAX_DETAILS, MAX_DETAILS + 1):
        rows = [f"{factory};CTC-{n};Press;x;plant@example.com;{PASSWORD}\n" for n in range(count)]
        _, text = upload(web, head + "".join(rows), "check")
        assert ("the first" in text) == (count > MAX_DETAILS), count


def test_one_imported_gateway_is_one(api: ApiServer, web: WebClient) -> None:
    row = f"{api.factory()['id']};CTC-1;Press;ws://127.0.0.1:5000;plant@example.com;{PASSWORD}\n"
    upload(web, "factory_id;gateway_id;name;url;email;password\n" + row, "import")
    assert "1 gateway was imported." in web.get("/ui/gateways").text


def test_a_password_that_was_typed_beside_a_mistake_is_asked_for_again(
    api: ApiServer, web: WebClient
) -> None:
    page = web.post("/ui/gateways/new", values(api.factory()["id"], email="nobody"))
    assert page.status == 400
    assert "Type the password again" in page.one("div", id="password-errors").text


def test_who_may_only_read_is_shown_no_form_that_writes(start_api: Start, database_url: str) -> None:
    api = start_api(AUTH="required")
    writer = {"Authorization": f"Bearer {make_token(database_url, 'writer', 'write')}"}
    reader = WebClient(api, {"Authorization": f"Bearer {make_token(database_url, 'reader', 'read')}"})
    factory = api.call("POST", "/api/factories", {"name": "Mill"}, headers=writer).json["id"]
    for path in ("gateways/new", "factories/new", f"factories/{factory}/edit", f"factories/{factory}/delete"):
        page = reader.get(f"/ui/{path}")
        assert page.status == 403
        assert "This token is read-only." in page.text
    assert "so it cannot import" in reader.get("/ui/import").text


def test_messages_that_nobody_reads_do_not_fill_the_cookie(web: WebClient) -> None:
    form = web.get("/ui/factories/new")
    for number in range(12):
        name = "".join(chr(0x4E00 + (number * 200 + place) % 20000) for place in range(190))
        values = {"name": name, "location": "", "timezone": "UTC"}
        assert web.submit(form, "/ui/factories/new", values).status == 303
        assert sum(map(len, web.cookies.values())) < 4000
