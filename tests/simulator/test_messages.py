"""The commands that the simulated gateway accepts."""

import json
from typing import Any

import pytest

from simulator.messages import Violation, parse_command

LOGIN = {"Type": "POST_LOGIN", "From": "UI", "To": "SERV", "Data": {"Email": "e", "Password": "canary"}}


def _command(command_type: str, **data: Any) -> dict[str, Any]:
    return {"Type": command_type, "From": "UI", "To": "SERV", "Data": data}


@pytest.mark.parametrize(
    "message",
    [
        LOGIN,
        _command("POST_SUB_CHANGES"),
        _command("GET_DYN", Serials=[]),
        _command("GET_DYN", Serials=[1, 2]),
        _command("TAKE_DYN_TEMP", Serial=1),
        _command("GET_DYN_BATTS"),
        _command("GET_DYN_READINGS", Serials=[1], Start="2020-01-01", End="2020-01-02", Max=3),
    ],
)
def test_well_formed_commands(message: dict[str, Any]) -> None:
    command = parse_command(json.dumps(message))
    assert (command.type, command.data) == (message["Type"], message["Data"])


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (LOGIN | {"Id": 1}, "extra 'Id'"),
        (LOGIN | {"Data": {**LOGIN["Data"], "Remember": True}}, "extra 'Remember'"),  # type: ignore[dict-item]
        (LOGIN | {"Data": {"Password": "canary"}}, "without 'Email'"),
        (LOGIN | {"Data": {"Email": "e", "Password": ["canary"]}}, "Password has the wrong type"),
        (LOGIN | {"Data": ["canary"]}, "Data is no object"),
        (LOGIN | {"From": "SERV"}, "From and To"),
        (LOGIN | {"To": "UI"}, "From and To"),
        (LOGIN | {"Type": "PING"}, "unknown command"),
        (LOGIN | {"Type": ["canary"]}, "unknown command"),
        ({"Type": "POST_SUB_CHANGES", "From": "UI", "To": "SERV"}, "without 'Data'"),
        (_command("POST_SUB_CHANGES", All=True), "extra 'All'"),
        (_command("GET_DYN"), "without 'Serials'"),
        (_command("GET_DYN", Serials=["1"]), "Serials has the wrong type"),
        (_command("TAKE_DYN_TEMP", Serial="1"), "Serial has the wrong type"),
        (_command("TAKE_DYN_TEMP", Serial=True), "Serial has the wrong type"),
        (["POST_LOGIN", "canary"], "no JSON object"),
    ],
)
def test_violations_name_the_field_and_never_its_value(message: object, complaint: str) -> None:
    with pytest.raises(Violation, match=complaint) as caught:
        parse_command(json.dumps(message))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("frame", ["canary", '{"Password": "canary"', b"canary", "[" * 100_000, ""])
def test_invalid_frames(frame: str | bytes) -> None:
    with pytest.raises(Violation) as caught:
        parse_command(frame)
    assert "canary" not in str(caught.value)
