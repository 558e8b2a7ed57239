"""The tool that is served: DuckDB, which builds one model and runs its tests in a copied database (serve.py stands above this).

Job:    {"database": "/path/x.duckdb", "config": {...}, "drop": ["relation"], "reverse": ["relation"],
         "withhold": null or {"statements": ["create temp table ..."], "replace": [["relation", "temp table"]], "count": "select ..."},
         "create": "create table ...", "relation": "\\"db\\".\\"schema\\".\\"name\\"", "tests": ["select ..."], "built": "/path/built"}
Answer: {"refused": null, "error": null, "seconds": 0.01, "withheld": [1, 1, 4], "columns": [["id", "INTEGER"]],
         "tests": [{"failures": 0, "error": null, "seconds": 0.01}]}

`refused`: a text that is not one statement of its kind; nothing of it was run. The file `built` is there once the model is.

Job:    {"database": "/path/x.duckdb", "config": {...}, "drop": ["relation"], "relation": "...", "compared": "a, b",
         "variants": ["select ..."], "tests": ["select ..."], "seconds": 10}
Answer: {"refused": null, "stopped": false, "variants": [{"differs": false, "failures": [0, null]}, null]}

The tests on the relation with other rows: those of the first query, then of each that gives other rows than it. `null`: it
does not run. `stopped`: not all were tried in time.
"""

import threading


def warm_up(_):
    import duckdb

    # It comes with a database in memory that has threads of its own, which a fork would wait for.
    default = duckdb.default_connection
    (default() if callable(default) else default).close()


def single(duckdb, connection, text, kind):
    statements = connection.extract_statements(text)
    return len(statements) == 1 and statements[0].type == getattr(duckdb.StatementType, kind)


def drop(duckdb, connection, relation):
    for kind in ("view", "table"):
        try:
            connection.execute(f"drop {kind} if exists {relation} cascade")
        except duckdb.Error:
            pass  # it is the other of the two


def make_schema(duckdb, connection, relation):
    """As dbt does it: a model may be the first of its schema."""
    schema = relation.rsplit('."' if relation.endswith('"') else ".", 1)[0]
    try:
        connection.execute(f"create schema if not exists {schema}")
    except duckdb.Error:
        pass  # what is built in it says why


def withhold(duckdb, job):
    """In a connection of its own: nothing of it is in sight of the model."""
    connection = duckdb.connect(job["database"], config=job["config"])
    try:
        for statement in job["withhold"]["statements"]:
            connection.execute(statement)
        for relation, table in job["withhold"]["replace"]:
            drop(duckdb, connection, relation)
            connection.execute(f"create table {relation} as select * from {table}")
        return connection.execute(job["withhold"]["count"]).fetchone()
    finally:
        connection.close()


def vary(duckdb, job):
    answer = {"refused": None, "stopped": False, "variants": []}
    connection = duckdb.connect(job["database"], config=job["config"])
    timer = threading.Timer(job["seconds"], connection.interrupt)
    timer.daemon = True
    try:
        if not all(single(duckdb, connection, test, "SELECT") for test in job["tests"]):
            return {**answer, "refused": "a test is not one query"}
        for relation in job["drop"]:
            drop(duckdb, connection, relation)
        relation, compared = job["relation"], job["compared"]
        make_schema(duckdb, connection, relation)
        timer.start()
        for number, query in enumerate(job["variants"]):
            if not timer.is_alive():
                answer["stopped"] = True
                break
            try:
                connection.execute(f"create or replace table {relation} as (\n{query}\n)")
                if number == 0:
                    connection.execute(f"create temp table first_rows as select {compared} from {relation}")
                own = f"select {compared} from {relation}"
                differs = connection.execute(
                    f"select exists ({own} except all from first_rows) or exists (from first_rows except all {own})"
                ).fetchone()[0]
            except duckdb.Error:
                answer["variants"].append(None)
                continue
            tests = job["tests"] if differs or number == 0 else []
            answer["variants"].append({"differs": differs, "failures": [failures(duckdb, connection, test) for test in tests]})
        answer["stopped"] = answer["stopped"] or not timer.is_alive()
        return answer
    finally:
        timer.cancel()
        connection.close()


def failures(duckdb, connection, test):
    try:
        return connection.execute(test).fetchone()[0]
    except duckdb.Error:
        return None


def handle(job):
    import duckdb

    if "variants" in job:
        return vary(duckdb, job)
    answer = {"refused": None, "error": None, "seconds": 0.0, "withheld": [], "columns": [], "tests": []}
    if job["withhold"]:
        answer["withheld"] = withhold(duckdb, job)
    connection = duckdb.connect(job["database"], config=job["config"])
    try:
        for relation in job["drop"]:
            drop(duckdb, connection, relation)
        for relation in job["reverse"]:
            try:
                connection.execute(f"create or replace table {relation} as select * from {relation} order by rowid desc")
            except duckdb.Error:
                pass  # a view has no rows of its own
        started = time.perf_counter()
        try:
            if not single(duckdb, connection, job["create"], "CREATE"):
                return {**answer, "refused": "the model is not one query"}
            make_schema(duckdb, connection, job["relation"])
            connection.execute(job["create"])
        except duckdb.Error as error:
            return {**answer, "error": str(error)[:100_000], "seconds": time.perf_counter() - started}
        answer["seconds"] = time.perf_counter() - started
        open(job["built"], "w").close()
        columns = connection.execute(
            "select column_name, data_type from duckdb_columns() where lower(format('\"{}\".\"{}\".\"{}\"', "
            "database_name, schema_name, table_name)) = lower(?) order by column_index",
            [job["relation"]],
        )
        answer["columns"] = columns.fetchall()
        for test in job["tests"]:
            started = time.perf_counter()
            failures = error = None
            try:
                if not single(duckdb, connection, test, "SELECT"):
                    return {**answer, "refused": "a test is not one query"}
                failures = connection.execute(test).fetchone()[0]
            except duckdb.Error as fault:
                error = str(fault)[:100_000]
            answer["tests"].append(
                {"failures": failures, "error": error, "seconds": time.perf_counter() - started}
            )
        return answer
    finally:
        connection.close()


serve(warm_up, handle)
