"""Commands as JSON lines on standard input, and their answers."""

import json
from collections.abc import Callable, Mapping
from typing import Literal, cast

from simulator.faults import Fault, FaultOptions
from simulator.gateway import Gateway
from simulator.messages import Json
from simulator.site import Site

Fields = dict[str, Json]
FAULT_OPTIONS: Mapping[str, type | tuple[type, ...]] = {
    "status": int,
    "location": str,
    "code": int,
    "attempt": (str, type(None)),
    "byte_interval_s": (int, float),
    "size_bytes": int,
    "messages_per_s": int,
    "phase": str,
}


class CommandError(ValueError):
    """An invalid command; the text is for its sender."""


def answer(site: Site, line: str) -> dict[str, Json]:
    """Handle one line and return what to print: `{"ok": true, …}` or `{"ok": false, "error": …}`.

    `{"drop": id, "how": "rst"|"fin"|"close", "code": 1011}`, `{"freeze": id}`, `{"thaw": id}`,
    `{"fault": id, "kind": name or null, …options}`, `{"status": id}`, `{"summary": true}` (the counters of
    the whole site), `{"refuse": true}` (stop listening, the whole site) and `{"refuse": false}`.
    """
    try:
        fields = _parse(line)
        name = next((name for name in COMMANDS if name in fields), None)
        if name is None:
            raise CommandError(f"no command; known are {', '.join(COMMANDS)}")
        target = fields.pop(name)
        result = COMMANDS[name](site, target, fields)
    except (ValueError, TimeoutError) as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True, name: target, **result}


def _parse(line: str) -> Fields:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise CommandError("not JSON") from None
    if not isinstance(fields, dict):
        raise CommandError("not a JSON object")
    return fields


def _gateway(site: Site, target: Json) -> Gateway:
    if not isinstance(target, str):
        raise CommandError("a gateway is named by a string")
    try:
        return site.gateway(target)
    except KeyError:
        raise CommandError(f"no gateway {target!r}") from None


def _take(fields: Fields, name: str, kind: type | tuple[type, ...], default: Json) -> Json:
    value = fields.pop(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CommandError(f"{name} has the wrong type")
    return value


def _drop(site: Site, target: Json, fields: Fields) -> Fields:
    gateway = _gateway(site, target)
    how = cast("Literal['rst', 'fin', 'close']", _take(fields, "how", str, "rst"))
    code = cast("int", _take(fields, "code", int, 1011))
    _nothing_left(fields)
    return {"cut": gateway.drop(how, code)}


def _freeze(site: Site, target: Json, fields: Fields) -> Fields:
    _nothing_left(fields)
    _gateway(site, target).freeze()
    return {}


def _thaw(site: Site, target: Json, fields: Fields) -> Fields:
    _nothing_left(fields)
    _gateway(site, target).thaw()
    return {}


def _fault(site: Site, target: Json, fields: Fields) -> Fields:
    gateway = _gateway(site, target)
    kind = _take(fields, "kind", (str, type(None)), None)
    options = {
        name: _take(fields, name, FAULT_OPTIONS[name], None) for name in FAULT_OPTIONS if name in fields
    }
    _nothing_left(fields)
    if kind not in {None, *(fault.value for fault in Fault)}:
        raise CommandError(f"no fault {kind!r}; known are {', '.join(fault.value for fault in Fault)}")
    gateway.fault(None if kind is None else Fault(kind), **cast("FaultOptions", options))
    return {"kind": kind}


def _status(site: Site, target: Json, fields: Fields) -> Fields:
    _nothing_left(fields)
    return dict(_gateway(site, target).summary())


def _summary(site: Site, _: Json, fields: Fields) -> Fields:
    _nothing_left(fields)
    return dict(site.summary())


def _refuse(site: Site, target: Json, fields: Fields) -> Fields:
    _nothing_left(fields)
    if not isinstance(target, bool):
        raise CommandError("refuse is true or false")
    if target:
        site.stop_listening()
    else:
        site.start_listening()
    return {}


def _nothing_left(fields: Fields) -> None:
    """Reject unknown fields before the command has an effect."""
    if fields:
        raise CommandError(f"unknown: {', '.join(sorted(fields))}")


COMMANDS: Mapping[str, Callable[[Site, Json, Fields], Fields]] = {
    "drop": _drop,
    "freeze": _freeze,
    "thaw": _thaw,
    "fault": _fault,
    "status": _status,
    "summary": _summary,
    "refuse": _refuse,
}
