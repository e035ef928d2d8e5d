"""How a self-contained page is put together: its sections, its charts and the one HTML skeleton they fill.

>>> figure = Figure("rows-a-user", "Rows a user", "Half the users have 114 rows or fewer.", chart)
>>> page = Page("ml-100k", "What is in the data.", (Section("users", "Users", "", (figure,)),))
>>> write_page(Path("eda.html"), page)
"""

from movierec_bench.reports.pages.figure import Figure, write_png
from movierec_bench.reports.pages.page import Note, Page, Part, Section, Table, render_page, write_page
from movierec_bench.reports.pages.theme import ACCENT, BAND, QUIET

__all__ = [
    "ACCENT",
    "BAND",
    "QUIET",
    "Figure",
    "Note",
    "Page",
    "Part",
    "Section",
    "Table",
    "render_page",
    "write_page",
    "write_png",
]
