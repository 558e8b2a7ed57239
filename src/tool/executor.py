"""The tool that is served: DuckDB, which builds one model and runs its tests in a copied database (serve.py stands above this).

Job:    {"database": "/path/x.duckdb", "config": {...}, "drop": ["relation"], "reverse": ["relation"], "create": "create table ...",
         "relation": "\\"db\\".\\"schema\\".\\"name\\"", "tests": ["select ..."], "built": "/path/built"}
Answer: {"refused": null, "error": null, "seconds": 0.01, "columns": [["id", "INTEGER"]],
         "tests": [{"failures": 0, "error": null, "seconds": 0.01}]}

`refused`: a text that is not one statement of its kind; nothing of it was run. The file `built` is there once the model is.
"""


def warm_up(_):
    import duckdb

    # It comes with a database in memory that has threads of its own, which a fork would wait for.
    default = duckdb.default_connection
    (default() if callable(default) else default).close()


def single(duckdb, connection, text, kind):
    statements = connection.extract_statements(text)
    return len(statements) == 1 and statements[0].type == getattr(duckdb.StatementType, kind)


def handle(job):
    import duckdb

    answer = {"refused": None, "error": None, "seconds": 0.0, "columns": [], "tests": []}
    connection = duckdb.connect(job["database"], config=job["config"])
    try:
        for relation in job["drop"]:
            for kind in ("view", "table"):
                try:
                    connection.execute(f"drop {kind} if exists {relation} cascade")
                except duckdb.Error:
                    pass  # it is the other of the two
        for relation in job["reverse"]:
            try:
                connection.execute(f"create or replace table {relation} as select * from {relation} order by rowid desc")
            except duckdb.Error:
                pass  # a view has no rows of its own
        started = time.perf_counter()
        try:
            if not single(duckdb, connection, job["create"], "CREATE"):
                return {**answer, "refused": "the model is not one query"}
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
