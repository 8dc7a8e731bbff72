"""A file of gateways."""

from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import SelectField

CHARSETS = [
    ("", "UTF-8 or UTF-16, as Excel and most programs save"),
    ("windows-1252", "Windows-1252, as older programs save in Western Europe"),
    ("windows-1250", "Windows-1250 (Central Europe)"),
    ("windows-1251", "Windows-1251 (Cyrillic)"),
    ("iso-8859-1", "ISO-8859-1"),
]


class ImportForm(FlaskForm):  # type: ignore[misc]
    """Sent twice: to check the file, and to import it."""

    file = FileField("CSV file", render_kw={"accept": ".csv,.tsv,text/csv", "required": True})
    charset = SelectField("Encoding", choices=CHARSETS, default="")
