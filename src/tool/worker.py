"""The tool that is served: dbt (serve.py stands above this).

Job:    {"directory": "/path", "arguments": ["build", "--select", "path:models/x.sql"]}
Answer: {"success": false, "exception": {"type": "ParsingError", "message": "..."}}

Artifacts and log events are read from the job's directory.
"""

import multiprocessing
import threading

OPTIONS = ["--project-dir", ".", "--profiles-dir", ".", "--no-send-anonymous-usage-stats", "--no-version-check"]
OPTIONS += ["--log-level", "none", "--log-level-file", "info", "--log-format-file", "json", "--log-path", "logs"]

# A little of everything, so that what dbt compiles on first use is compiled.
PROJECT = {
    "dbt_project.yml": "name: warm_up\nprofile: warm_up\nmodels: {warm_up: {+materialized: table}}\n",
    "profiles.yml": """
warm_up:
  target: dev
  outputs:
    dev: {type: duckdb, path: warm_up.duckdb, schema: main, threads: 1, config_options: {threads: '1'}}
""",
    "seeds/s.csv": "id\n1\n",
    "macros/m.sql": "{% macro one(x) %}{{ x }}{% endmacro %}",
    "models/a.sql": "{{ config(materialized='view') }} select id from {{ source('raw', 's') }}",
    "models/b.sql": "select {{ one('id') }} as id from {{ ref('a') }} join {{ ref('s') }} using (id)",
    "models/c.sql": "{{ config(materialized='incremental', unique_key='id') }} select * from {{ ref('b') }}",
    "models/m.yml": """
sources: [{name: raw, schema: main, tables: [{name: s, columns: [{name: id, data_tests: [not_null]}]}]}]
models:
  - {name: a, description: "{{ doc('d') }}", columns: [{name: id, data_tests: [unique, not_null]}]}
  - name: b
    config: {contract: {enforced: true}}
    columns:
      - name: id
        data_type: integer
        data_tests:
          - accepted_values: {values: [1]}
          - relationships: {to: ref('a'), field: id}
""",
    "models/d.md": "{% docs d %}A column.{% enddocs %}",
    "tests/t.sql": "select * from {{ ref('b') }} where id < 0",
}


class Threads:
    """dbt takes locks between processes, which are files that every job could reach; it runs in one process only."""

    Lock = staticmethod(threading.Lock)
    RLock = staticmethod(threading.RLock)

    def __init__(self, context):
        self.context = context

    def SimpleQueue(self):
        from multiprocessing.queues import SimpleQueue

        return SimpleQueue(ctx=self)

    def __getattr__(self, name):
        return getattr(self.context, name)

    def __deepcopy__(self, _):
        return self  # dbt 1.6 copies what it was started with


get_context = multiprocessing.get_context
multiprocessing.get_context = lambda method=None: Threads(get_context(method))


is_job = False


def keep_threads_out():
    """dbt's parser of models starts threads on its first call, and waits for them: a fork would wait for ever."""
    try:
        import dbt_extractor
    except ImportError:
        return
    extract = dbt_extractor.py_extract_from_source

    def extract_in_jobs(source):
        if not is_job:
            # dbt then renders the model instead.
            raise dbt_extractor.ExtractionError()
        return extract(source)

    dbt_extractor.py_extract_from_source = extract_in_jobs


def write_what_is_read():
    """dbt writes its manifest twice in each job, and most of it are macros, which nobody reads there."""
    from dbt.contracts.graph.manifest import Manifest

    whole = Manifest.writable_manifest

    def without_macros(manifest):
        macros, manifest.macros = manifest.macros, {}
        try:
            return whole(manifest)
        finally:
            manifest.macros = macros

    Manifest.writable_manifest = without_macros


def invoke(arguments):
    from dbt.cli.main import dbtRunner

    return dbtRunner().invoke(arguments)


def warm_up(scratch):
    keep_threads_out()
    write_what_is_read()
    os.makedirs(scratch, exist_ok=True)
    os.chdir(scratch)
    for path, text in PROJECT.items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
    # The second call goes the way of most jobs: it starts from what the first one parsed.
    for command in ("seed", "build"):
        result = invoke([command, *OPTIONS])
        close_connections()
        if result.exception is not None:
            raise result.exception
    # A fork has only the thread that forks: one that DuckDB left running would never answer there. dbt's adapter makes a
    # database in memory, too.
    try:
        import duckdb
    except ImportError:
        return
    default = duckdb.default_connection
    (default() if callable(default) else default).close()


def close_connections():
    # dbt-duckdb keeps its database in a module-global: without this a job would write into another one's file.
    try:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager

        DuckDBConnectionManager.close_all_connections()
    except ImportError:
        pass


def handle(job):
    global is_job
    is_job = True
    os.chdir(job["directory"])
    try:
        result = invoke(job["arguments"])
        success, exception = bool(result.success), result.exception
    except BaseException as error:  # SystemExit too
        success, exception = False, error
    finally:
        # What was written is on disk when the answer is out.
        close_connections()
    if exception is not None:
        message = getattr(exception, "msg", None) or str(exception)
        exception = {"type": type(exception).__name__, "message": str(message)[:100_000]}
    return {"success": success, "exception": exception}


serve(warm_up, handle)
