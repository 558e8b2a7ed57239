"""Serves a tool that is dear to import: a JSON line in, a JSON line out.

The process that imports is never touched by what a model wrote. Each job runs in a fork of it, under limits and
restrictions of its own, and all that the job started ends with it: no job can leave anything behind for the next.

Start:  the first argument, {"read": ["/path"], "scratch": "/path" or null}
Job:    {"limits": {"wall": 60, "cpu": 30, "memory": 4294967296, "file_size": null, "open_files": null},
         "write": ["/path"], "job": {...}}
Answer: {"answer": {...}}, or {"killed": true}, {"signal": 9}, {"code": 1} with the CPU time in "cpu"

When stdin closes, the process ends at once, even in the middle of a job.
"""

import ctypes
import gc
import json
import os
import resource
import select
import signal
import sys
import time

MAX_ANSWER = 4 << 20


def send(channel, value):
    data = json.dumps(value).encode() + b"\n"
    while data:
        data = data[os.write(channel, data) :]


def serve(warm_up, handle):
    start = json.loads(sys.argv[1])
    # The answers go out through a private copy of stdout: SQL can print (PRAGMA enable_profiling).
    channel = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm_up(start["scratch"])
    os.chdir("/")
    # What the jobs inherit they need not look through for garbage, and must not end.
    gc.collect()
    gc.freeze()
    if sys.platform == "linux" and len(os.listdir("/proc/self/task")) > 1:
        raise SystemExit("the warm-up left threads running: jobs, which are forks, would wait for them")
    send(channel, {"ready": True})
    received = b""
    while True:
        while b"\n" not in received:
            received += read_or_end()
        line, received = received.split(b"\n", 1)
        send(channel, supervise(json.loads(line), start["read"], channel, null, handle))


def read_or_end(child=None):
    chunk = os.read(0, 1 << 16)
    if not chunk:
        if child is not None:
            os.kill(child, signal.SIGKILL)
        os._exit(0)
    return chunk


def supervise(request, read, channel, null, handle):
    result, answers = os.pipe()
    before = cpu_of_jobs()
    child = os.fork()
    if child == 0:
        os.close(result)
        os.close(channel)
        os.dup2(null, 0)
        run(request, read, answers, handle)
    os.close(answers)
    deadline = time.monotonic() + request["limits"]["wall"]
    data, killed = b"", False
    while True:
        left = deadline - time.monotonic()
        ready = select.select([0, result], [], [], max(left, 0))[0] if left > 0 else []
        if 0 in ready:
            read_or_end(child)
        if result in ready:
            chunk = os.read(result, 1 << 16)
            data += chunk
            # Something that the job left behind may keep the pipe open: the answer's end counts.
            if chunk and len(data) <= MAX_ANSWER and not data.endswith(b"\n"):
                continue
            break
        if not ready:
            killed = True
            break
    os.close(result)
    if killed:
        os.kill(child, signal.SIGKILL)
    # A job that closed its pipe may linger.
    status = wait(child, deadline)
    end_all()
    cpu = cpu_of_jobs() - before
    if killed or status is None:
        return {"killed": True, "cpu": cpu}
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status), "cpu": cpu}
    try:
        return {"answer": json.loads(data)}
    except ValueError:
        return {"code": os.WEXITSTATUS(status), "cpu": cpu}


def cpu_of_jobs():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wait(child, deadline):
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def end_all():
    # As the first process of a namespace we can reach everything in it, however it hides; elsewhere our group is ended
    # from outside.
    if os.getpid() != 1:
        return
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def run(request, read, answers, handle):
    code = 1
    try:
        limits = request["limits"]
        limit(resource.RLIMIT_CORE, 0, 0)
        if limits["cpu"] is not None:
            limit(resource.RLIMIT_CPU, limits["cpu"], limits["cpu"] + 5)
        for kind, value in (
            (resource.RLIMIT_FSIZE, limits["file_size"]),
            (resource.RLIMIT_NOFILE, limits["open_files"]),
            (resource.RLIMIT_AS, limits["memory"]),
        ):
            if value is not None:
                limit(kind, value, value)
        if request["write"]:
            os.environ["TMPDIR"] = request["write"][0]
        restrict(read, request["write"])
        send(answers, handle(request["job"]))
        code = 0
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


def limit(kind, soft, hard):
    allowed = resource.getrlimit(kind)[1]
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.setrlimit(kind, (soft, hard))


def restrict(read, write):
    """Restricts this process to its own folders (Landlock), where the kernel can."""
    if sys.platform != "linux":
        return
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    create, add, restrict = (ctypes.c_long(number) for number in (444, 445, 446))
    version = call(create, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return
    on_files, reading = 0b110, 0b1100  # write and read a file; read a file and list a folder
    handled = 0b1_1111_1111_1110  # all of the first version but execute, which is settled for the whole process
    if version >= 2:
        handled |= 1 << 13  # move between folders
    if version >= 3:
        handled |= 1 << 14  # truncate
        on_files |= 1 << 14
    attributes = ctypes.c_uint64(handled)
    rules = call(create, ctypes.byref(attributes), ctypes.c_size_t(8), ctypes.c_uint(0))
    if rules < 0:
        raise OSError(ctypes.get_errno(), "Landlock made no rules")
    for path, access in [(path, reading) for path in read] + [(path, handled) for path in [*write, os.devnull]]:
        try:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            access &= on_files
        rule = access.to_bytes(8, sys.byteorder) + folder.to_bytes(4, sys.byteorder)
        if call(add, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint(0)) < 0:
            raise OSError(ctypes.get_errno(), f"{path} could not be put into a rule")
        os.close(folder)
    # No new privileges: Landlock's condition, kept already where we are restricted from outside.
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
    if call(restrict, ctypes.c_int(rules), ctypes.c_uint(0)) < 0:
        raise OSError(ctypes.get_errno(), "Landlock did not restrict the job")
    os.close(rules)
