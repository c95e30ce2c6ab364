"""The command reader beside a study's own code, which handles signals, forks and closes
descriptors: real processes, without TensorFlow.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

READER = """
import asyncio, json, multiprocessing, os, signal, subprocess, sys, threading, time
from lrsearch.worker.channel import CommandReader
def say(*words):
    try:
        os.write(said, (" ".join(map(str, words)) + "\\n").encode())
    except OSError:
        pass
said = 400  # where `closerange` does not reach it
os.dup2(1, said)
hears = dict(on_interrupt=lambda why: say("interrupted", why), on_wake=lambda: say("woken"))
reader = CommandReader(os.dup(0), on_orphan=lambda: say("orphaned"), on_failure=lambda error: say("failed", type(error).__name__), **hears)
reader.start()
fork = multiprocessing.get_context("fork")
"""


def heard(body, *, seconds=1.0):
    """What a command reader says within `seconds` of what the study's code does, its
    parent living on; only once of the same thing.
    """
    with subprocess.Popen(
        [sys.executable, "-c", READER + body],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            lines = _lines(process, seconds)
        finally:
            process.kill()
    return list(dict.fromkeys(lines))


def _lines(process, seconds):
    """Lines until it says "over", and for a moment after it."""
    lines = []
    for line in process.stdout:
        if line.strip() == "over":
            break
        lines.append(line.strip())
    time.sleep(seconds)
    process.kill()
    return lines + process.stdout.read().split("\n")[:-1]


OVER = "\ntime.sleep(0.3); say('over'); time.sleep(30)"


def test_signals_that_the_studys_code_handles_are_its_own():
    body = """
for number in (signal.SIGCHLD, signal.SIGALRM, signal.SIGUSR1, signal.SIGRTMIN + 3):
    signal.signal(number, lambda *_: None)
    os.kill(os.getpid(), number)
subprocess.run(["true"])
"""
    assert heard(body + OVER, seconds=0.1) == []
    assert heard(body + "os.kill(os.getpid(), signal.SIGTERM)" + OVER, seconds=0.1) == [
        "interrupted SIGTERM"
    ], "and it hears on"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_three_signals_that_stop_a_worker_are_heard(number):
    assert heard(f"os.kill(os.getpid(), {int(number)})" + OVER, seconds=0.1) == [
        f"interrupted {number.name}"
    ]


@pytest.mark.parametrize("thread", [False, True])
def test_a_forked_child_can_be_terminated_from_its_first_moment_and_stops_nobody_else(
    thread,
):
    body = """
def fork_some():
    for _ in range(40):
        child = fork.Process(target=time.sleep, args=(60,))
        child.start(); child.terminate(); child.join(5)
        say("exit", child.exitcode)
        child.kill()
    with fork.Pool(2) as pool:
        pool.map(abs, [1])
"""
    call = (
        "thread = threading.Thread(target=fork_some); thread.start(); thread.join()"
        if thread
        else "fork_some()"
    )
    assert heard(body + call + OVER, seconds=0.1) == ["exit -15"]


def test_a_forked_child_has_the_handlers_that_were_there_before():
    body = """
if os.fork() == 0:
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    say(handlers == [signal.SIG_DFL, signal.SIG_DFL, signal.default_int_handler], signal.set_wakeup_fd(-1))
    say(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    os._exit(0)
os.wait()
"""
    assert heard(body + OVER, seconds=0.1) == ["True -1", "set()"]


def test_what_the_studys_code_takes_over_it_has_and_its_children_too():
    body = """
mine = lambda *_: say("mine")
signal.signal(signal.SIGTERM, mine)
if os.fork() == 0:
    say(signal.getsignal(signal.SIGTERM) is mine)
    os._exit(0)
os.wait()
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert sorted(heard(body + OVER, seconds=0.1)) == [
        "True",
        "interrupted SIGTERM",
        "mine",
    ]


def test_a_wakeup_descriptor_of_its_own_does_not_make_the_worker_deaf():
    body = """
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: None)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
asyncio.run(main())
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert heard(body + OVER, seconds=0.1) == ["interrupted SIGTERM"]


@pytest.mark.parametrize("then", ["", "files = [open(os.devnull) for _ in range(300)]"])
def test_a_reader_whose_descriptors_are_closed_says_so(then):
    assert heard(
        f"os.closerange(3, 256)\n{then}\nsay('over'); time.sleep(30)", seconds=1.5
    ) == ["failed OSError"]


def test_a_command_that_is_none_is_no_end_of_hearing_without_a_word():
    with subprocess.Popen(
        [sys.executable, "-c", READER + "time.sleep(30)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdin.write("nonsense\n")
        process.stdin.flush()
        assert process.stdout.readline() == "failed JSONDecodeError\n"
        process.kill()


def test_the_parents_death_is_noticed_though_somebody_else_holds_its_end_of_the_pipe():
    parent = f"""
import os, subprocess, sys, time
read, write = os.pipe()
os.set_inheritable(write, True)
helper = os.fork()
if helper == 0:
    time.sleep(600)  # holds the writing end, as a forked helper of the parent's may
    os._exit(0)
print(helper, flush=True)
child = subprocess.Popen([sys.executable, "-c", {READER + "say('ready', os.getpid()); time.sleep(600)"!r}], stdin=read)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        helper = int(process.stdout.readline())
        ready, child = process.stdout.readline().split()
        try:
            process.stdin.close()  # at which the parent ends
            assert (ready, process.stdout.readline().strip()) == ("ready", "orphaned")
        finally:
            for each in (helper, int(child)):  # both are there still
                os.kill(each, signal.SIGKILL)


def test_a_writer_never_writes_into_a_file_that_got_its_number(tmp_path):
    body = f"""
from lrsearch.messages import EngineReady, Note
from lrsearch.worker.channel import EventWriter
read, write = os.pipe()
events = EventWriter(write, on_failure=lambda error: say("failed", type(error).__name__))
events.write(Note(text="well")); time.sleep(0.1)
os.close(write)
file = open({str(tmp_path / "data")!r}, "w")
assert file.fileno() == write
events.write(Note(text="not into the data")); time.sleep(0.2)
"""
    assert heard(body + OVER, seconds=0.1) == ["failed OSError"]
    assert (tmp_path / "data").read_text() == ""


def test_events_are_lines_whatever_the_study_makes_of_the_json_module():
    body = """
from functools import partial
from lrsearch.messages import EngineReady, Note
from lrsearch.worker.channel import EventWriter
json.dumps = partial(json.dumps, indent=2)
events = EventWriter(said)
events.write(EngineReady(figures={"of": object})); events.close()
"""
    [line] = heard(body + OVER, seconds=0.1)
    assert json.loads(line)["figures"] == {"of": str(object)}
    assert os.linesep not in line
