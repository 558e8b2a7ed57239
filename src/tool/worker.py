"""Keeps dbt imported and runs one job after the other: a JSON line in, a JSON line out.

Job:    {"directory": "/path", "arguments": ["build", "--select", "path:models/x.sql"]}
Answer: {"success": false, "exception": {"type": "ParsingError", "message": "..."}}

Artifacts and log events are read from the job's directory. The answers go out through a private copy of stdout, since
SQL can print (PRAGMA enable_profiling). When stdin closes, the process ends at once, even in the middle of a job.
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


def answer(channel, **fields):
    channel.write(json.dumps(fields).encode() + b"\n")
    channel.flush()


def close_connections():
    # dbt-duckdb keeps its database in a module-global: without this the next job would write into this job's file.
    try:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        DuckDBConnectionManager.close_all_connections()
    except ImportError:
        pass


def run(runner, job):
    os.chdir(job["directory"])
    try:
        result = runner().invoke(job["arguments"])
        success, exception = bool(result.success), result.exception
    except BaseException as error:  # SystemExit too: the worker outlives its jobs
        success, exception = False, error
    finally:
        close_connections()
        os.chdir("/")
    if exception is not None:
        message = getattr(exception, "msg", None) or str(exception)
        exception = {"type": type(exception).__name__, "message": str(message)[:100_000]}
    return success, exception


def main():
    channel = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    lines = queue.Queue()
    threading.Thread(target=watch, args=(lines,), daemon=True).start()

    from dbt.cli.main import dbtRunner

    answer(channel, ready=True)
    while True:
        success, exception = run(dbtRunner, json.loads(lines.get()))
        answer(channel, success=success, exception=exception)


main()
