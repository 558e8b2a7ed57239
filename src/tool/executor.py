"""Builds one model and runs its tests in a copied database: a JSON line in, a JSON line out.

Job:    {"database": "/path/x.duckdb", "config": {...}, "drop": ["relation"], "create": "create table ...",
         "relation": "\\"db\\".\\"schema\\".\\"name\\"", "tests": ["select ..."]}
Answer: {"refused": null, "error": null, "seconds": 0.01, "columns": [["id", "INTEGER"]],
         "tests": [{"failures": 0, "error": null, "seconds": 0.01}]}

`refused`: a text that is not one statement of its kind; nothing of it was run. When stdin closes, the process ends at
once, even in the middle of a job.
"""

import json
import os
import queue
import sys
import threading
import time


def watch(lines):
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def single(duckdb, connection, text, kind):
    statements = connection.extract_statements(text)
    return len(statements) == 1 and statements[0].type == getattr(duckdb.StatementType, kind)


def run(duckdb, job):
    answer = {"refused": None, "error": None, "seconds": 0.0, "columns": [], "tests": []}
    connection = duckdb.connect(job["database"], config=job["config"])
    try:
        for relation in job["drop"]:
            for kind in ("view", "table"):
                try:
                    connection.execute(f"drop {kind} if exists {relation} cascade")
                except duckdb.Error:
                    pass  # it is the other of the two
        started = time.perf_counter()
        try:
            if not single(duckdb, connection, job["create"], "CREATE"):
                return {**answer, "refused": "the model is not one query"}
            connection.execute(job["create"])
        except duckdb.Error as error:
            return {**answer, "error": str(error)[:100_000], "seconds": time.perf_counter() - started}
        answer["seconds"] = time.perf_counter() - started
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


def main():
    channel = os.fdopen(os.dup(1), "wb")
    # SQL can print (PRAGMA enable_profiling).
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    lines = queue.Queue()
    threading.Thread(target=watch, args=(lines,), daemon=True).start()

    import duckdb

    def send(**fields):
        channel.write(json.dumps(fields).encode() + b"\n")
        channel.flush()

    send(ready=True)
    while True:
        send(**run(duckdb, json.loads(lines.get())))


main()
