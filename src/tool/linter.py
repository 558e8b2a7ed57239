"""The tools that are served: sqruff and sqlfluff (serve.py stands above this).

Job:    {"tool": "sqlfluff", "directory": "/path/of/the/project", "dialect": "duckdb", "sql": "select 1"}
Answer: {"error": null, "violations": [{"code": "LT01", "line": 1, "column": 7, "message": "..."}], "left": 0,
         "fixed": "select 1\n"}

`fixed` is the text after the tool's own fixes, `left` counts what remains in it. Texts come without Jinja, so templates are
switched off: with sqlfluff, the project's configuration counts for everything else.
"""


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


CONFIGURATIONS = (".sqlfluff", "pyproject.toml", "setup.cfg", "tox.ini", "pep8.ini")
list_folder = os.listdir


def list_what_counts(path="."):
    """sqlfluff lists every folder above the project, which a job may not; only its configuration may be read there."""
    try:
        return list_folder(path)
    except PermissionError:
        return [name for name in CONFIGURATIONS if os.path.isfile(os.path.join(path, name))]


os.listdir = list_what_counts


def warm_up(_):
    """Either of the two may be missing. sqlfluff reads its rules and a dialect on first use; its progress bar starts a thread."""
    try:
        import sqruff
    except ImportError:
        pass
    try:
        import tqdm
        from sqlfluff.core import FluffConfig, Linter
    except ImportError:
        return
    tqdm.tqdm.monitor_interval = 0
    linter = Linter(config=FluffConfig(overrides={"templater": "raw", "dialect": "duckdb"}))
    linter.lint_string("select a, count(*) as n from t left join u on t.a = u.a where b = 1 group by a\n", fix=True).fix_string()


def handle(job):
    try:
        violations, left, fixed = {"sqruff": sqruff, "sqlfluff": sqlfluff}[job["tool"]](job)
        return {"error": None, "violations": violations, "left": left, "fixed": fixed}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:2000], "violations": [], "left": 0, "fixed": ""}


serve(warm_up, handle)
