"""What the demo shows on a terminal."""

import pytest

from devstack.run.demo_table import TableView

PAGE_URL = "http://127.0.0.1:3000/ui/"


def test_the_last_line_names_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    view = TableView(PAGE_URL)
    view.note("All are connected.")
    view.show({})
    *_, note, last, _ = capsys.readouterr().out.split("\n")
    assert note.endswith("All are connected.")
    assert PAGE_URL in last
