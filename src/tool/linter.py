"""Keeps sqruff or sqlfluff imported and lints one text after the other: a JSON line in, a JSON line out.

Job:    {"tool": "sqlfluff", "directory": "/path/of/the/project", "dialect": "duckdb", "sql": "select 1"}
Answer: {"error": null, "violations": [{"code": "LT01", "line": 1, "column": 7, "message": "..."}], "left": 0,
         "fixed": "select 1\n"}

`fixed` is the text after the tool's own fixes, `left` counts what remains in it. Texts come without Jinja, so templates are switched off: with
sqlfluff, the project's configuration counts for everything else.
"""

import json
import os
import queue
import sys
import threading


def watch(lines):
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def sqruff(job):
    from sqruff import FluffConfig, Linter

    config = f"[sqruff]\ndialect = {job['dialect']}\ntemplater = raw\nrules = all\nexclude_rules = RF04\n"
    linter = Linter(FluffConfig.from_source(config))
    first = linter.lint_string(job["sql"], fix=True)
    fixed = first.fix_string()
    after = linter.lint_string(fixed, fix=False)
    return [as_dict(v) for v in first.violations], len(after.violations), fixed


def as_dict(violation):
    return {
        "code": violation.code or "PRS",
        "line": violation.line_no,
        "column": violation.line_pos,
        "message": violation.description,
    }


def sqlfluff(job):
    from sqlfluff.core import FluffConfig, Linter

    overrides = {"templater": "raw", "dialect": job["dialect"]}
    linter = Linter(config=FluffConfig.from_path(job["directory"], overrides=overrides))
    first = linter.lint_string(job["sql"], fix=True)
    fixed, _ = first.fix_string()
    after = linter.lint_string(fixed)
    violations = [
        {"code": v.rule_code(), "line": v.line_no, "column": v.line_pos, "message": v.desc()}
        for v in first.get_violations()
    ]
    return violations, len(after.get_violations()), fixed


def main():
    channel = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    lines = queue.Queue()
    threading.Thread(target=watch, args=(lines,), daemon=True).start()
    send = lambda **fields: (channel.write(json.dumps(fields).encode() + b"\n"), channel.flush())
    send(ready=True)
    while True:
        job = json.loads(lines.get())
        try:
            violations, left, fixed = {"sqruff": sqruff, "sqlfluff": sqlfluff}[job["tool"]](job)
            send(error=None, violations=violations, left=left, fixed=fixed)
        except Exception as error:
            send(error=f"{type(error).__name__}: {error}"[:2000], violations=[], left=0, fixed="")


main()
