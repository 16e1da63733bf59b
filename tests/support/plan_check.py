"""Holds plans against their JSON schema and against GitHub's markdown, independently of towpath.

plan_check.py SCHEMA PLANS   PLANS: a list of {name, document, markdown}. Prints what is wrong, or `N plans fit`.

The schema is checked as strictly as it can be: whatever it does not name is refused, so that everything is documented.
"""
import html.parser
import json
import sys

import cmarkgfm
from cmarkgfm.cmark import Options
from jsonschema import Draft202012Validator

ALLOWED = {"h3", "h4", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "em", "br"}


def strict(schema):
    """The schema, refusing members that it does not name."""
    if isinstance(schema, dict):
        schema = {key: strict(value) for key, value in schema.items()}
        if "properties" in schema:
            schema["additionalProperties"] = False
        return schema
    return [strict(item) for item in schema] if isinstance(schema, list) else schema


class Page(html.parser.HTMLParser):
    """The rows of all tables, a list of cells each; `None` for a cell that says that nothing is there."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self.cell, self.emphasis = [], set(), None, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ""
        elif tag == "em":
            self.emphasis = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(None if self.emphasis else self.cell)
            self.cell, self.emphasis = None, False

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


def fields(document):
    """The rows that the tables must have, cell by cell."""
    for change in document["changes"]:
        new = change["action"]["type"] not in ("update", "deploy")
        for field in change["fields"]:
            values = [field["to"] or field["from"]] if new else [field["from"], field["to"]]
            yield [field["field"], *values]


def plain(row):
    """Whether nothing in a row is escaped or cut on its way."""
    return all(cell is None or (cell.isprintable() and len(cell) <= 200) for cell in row)


def problems(validator, case):
    name, document = case["name"], case["document"]
    for error in validator.iter_errors(document):
        yield f"{name}: {error.json_path}: {error.message}"
    options = Options.CMARK_OPT_UNSAFE
    page = Page(cmarkgfm.github_flavored_markdown_to_html(case["markdown"], options))
    if not page.tags <= ALLOWED:
        yield f"{name}: elements {page.tags - ALLOWED}"
    for table in page.tables:
        if any(len(row) != len(table[0]) for row in table):
            yield f"{name}: rows of several lengths: {table}"
    shown = [row for table in page.tables if table[0][0] == "Field" for row in table[1:]]
    wanted = list(fields(document))
    if len(shown) != len(wanted):
        yield f"{name}: {len(shown)} rows for {len(wanted)} fields"
    for got, row in zip(shown, wanted):
        if plain(row) and got != row:
            yield f"{name}: {got} for {row}"


def main(schema, plans):
    with open(schema, encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(strict(schema))
    with open(plans, encoding="utf-8") as file:
        plans = json.load(file)
    wrong = [problem for case in plans for problem in problems(validator, case)]
    print("\n".join(wrong) if wrong else f"{len(plans)} plans fit")
    sys.exit(1 if wrong else 0)


main(sys.argv[1], sys.argv[2])
