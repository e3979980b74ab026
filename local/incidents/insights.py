"""The part of the query language of CloudWatch Logs Insights that the runbook and dead-letters use."""

import re


class Fields(dict):
    """A field that a line does not have is None."""

    def __missing__(self, name):
        return None


FUNCTIONS = {
    "ispresent": lambda value: value is not None,
    "matches": lambda value, pattern: bool(re.search(pattern, value or "")),
}


def run(query, lines):
    """The rows that a query finds in lines of the log, each as a dictionary of text."""
    rows, shown = [Fields(line) for line in lines], None
    for command in re.split(r'\s*\|\s*(?=(?:[^"]*"[^"]*")*[^"]*$)', " ".join(query.split())):
        name, rest = command.split(" ", 1)
        if name == "fields":  # Selects what is shown. The commands after it see all fields.
            shown = rest.split(", ")
        else:
            rows = COMMANDS[name](rows, rest)
    return [{name: str(row[name]) for name in shown or row if row[name] is not None} for row in rows]


def filter_(rows, condition):
    condition = re.sub(r"(\S+) like /(.*?)/", r"matches(\1, r'\2')", condition)
    condition = re.sub(r"(?<![=<>!])=(?![=])", "==", condition)

    def holds(row):
        try:
            return eval(condition, {}, Fields(row | FUNCTIONS))
        except TypeError:
            return False  # A comparison with a field that the line does not have.

    return [row for row in rows if holds(row)]


def stats(rows, rest):
    aggregates, by = rest.split(" by ")
    names = by.split(", ")
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    parts = re.findall(r"(\w+)\((\S+?)(?:, (\d+))?\)(?: as (\w+))?", aggregates)
    result = []
    for key, group in groups.items():
        found = Fields()
        for function, field, percent, alias in parts:
            values = sorted(row[field] for row in group if row[field] is not None)
            found[alias or f"{function}({field})"] = {
                "count": lambda: len(group),
                "max": lambda: values[-1] if values else None,
                "pct": lambda: values[min(len(values) - 1, len(values) * int(percent) // 100)] if values else None,
            }[function]()
        result.append(Fields(found | dict(zip(names, key))))
    return result


def sort(rows, rest):
    name, *order = rest.split()
    return sorted(rows, key=lambda row: row[name] if row[name] is not None else "", reverse=order == ["desc"])


def limit(rows, number):
    return rows[: int(number)]


COMMANDS = {"filter": filter_, "stats": stats, "sort": sort, "limit": limit}
