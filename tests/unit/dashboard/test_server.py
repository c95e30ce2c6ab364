"""The dashboard as it is served: its bounds on real sockets, and optuna-dashboard behind it."""

import http.client
import socket
import struct
import threading
import time
from contextlib import contextmanager

import pytest
from ledger_tools import add_worker, plan, train

from lrsearch.dashboard import Guard, server
from lrsearch.dashboard.serving import make_application
from lrsearch.storage import Mirror, open_ledger


def page(_environ, start):
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"page"]


@contextmanager
def served(app=page):
    with server.bind_server("127.0.0.1", 0, app) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
            thread.join()


def ask(port, path="/", **headers):
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        asked.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers.items():
            asked.putheader(name, value)
        asked.endheaders()
        answer = asked.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        asked.close()


def is_closed_within(connection, seconds):
    """Whether the other side ends the connection."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_clients_that_say_nothing_or_drip_or_reset_lose_their_connection_and_nothing_is_printed(
    monkeypatch, capfd
):
    monkeypatch.setattr(server, "ARRIVAL_SECONDS", 0.4)
    with served() as port:
        silent, dripping, gone = [
            socket.create_connection(("127.0.0.1", port)) for _ in range(3)
        ]
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.send(b"GET / HTTP/1.0\r\n")
        gone.close()  # a reset
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            time.sleep(0.05)
            try:
                dripping.send(b"G")
            except ConnectionError:
                break
        assert is_closed_within(dripping, 5)
        assert is_closed_within(silent, 5)
        assert ask(port)[0] == 200
        silent.close()
        dripping.close()
    assert capfd.readouterr().err == ""


def test_a_client_that_does_not_read_its_answer_is_left_without_a_word(
    monkeypatch, capfd
):
    monkeypatch.setattr(server, "DELIVERY_SECONDS", 0.3)
    ended = threading.Event()

    def long(_environ, start):
        start("200 OK", [("Content-Type", "text/plain")])
        try:
            yield from [b"x" * 10_000_000] * 5
        finally:
            ended.set()

    with served(long) as port:
        idle = socket.create_connection(("127.0.0.1", port))
        idle.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert ended.wait(10)
        idle.close()
    assert capfd.readouterr().err == ""


def test_a_note_that_does_not_arrive_whole_is_told_so(monkeypatch, capfd):
    monkeypatch.setattr(server, "ARRIVAL_SECONDS", 0.4)
    with served(Guard(page, allow_notes=True)) as port:
        half = socket.create_connection(("127.0.0.1", port))
        head = f"PUT /api/studies/1/note HTTP/1.0\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"
        half.sendall(f"{head}Content-Length: 100\r\n\r\nhalf".encode())
        half.settimeout(10)
        assert half.recv(100).startswith(b"HTTP/1.0 408")
        half.close()
    assert capfd.readouterr().err == ""


def test_more_connections_than_may_be_are_told_so_and_their_places_come_back(
    monkeypatch,
):
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(server, "ARRIVAL_SECONDS", 1.0)
    with served() as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        time.sleep(0.2)
        assert ask(port)[0] == 503
        assert all(is_closed_within(each, 5) for each in held)
        for each in held:
            each.close()
        # a place is free a moment after its connection is closed
        until = time.monotonic() + 5
        while (status := ask(port)[0]) == 503 and time.monotonic() < until:
            time.sleep(0.05)
        assert status == 200


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """optuna-dashboard over a study whose name no header carries as it is."""
    ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('d')}/d.db", create=True)
    study = ledger.create_study(plan(name="étude 日本 1", trials=3, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    Mirror(ledger).complete(study.id)
    with served(Guard(make_application(ledger))) as port:
        yield port
    ledger.close()


def test_a_table_of_a_study_with_any_name_is_downloaded_under_it(dashboard):
    status, headers, body = ask(dashboard, "/csv/1")
    assert status == 200
    assert headers["Content-Disposition"] == (
        "attachment; filename=\"_tude-__-1.csv\"; filename*=UTF-8''%C3%A9tude-%E6%97%A5%E6%9C%AC-1.csv"
    )
    assert body.startswith(b"Number,State,val_accuracy")


@pytest.mark.parametrize(
    ("after", "status"),
    [
        ("x", 400),
        ("-1", 400),
        ("", 400),
        ("%C2%B2", 400),
        ("2", 200),
        ("1&after=x", 400),
        ("1;after=x", 400),
    ],
)
def test_trials_after_what_is_no_number_are_the_callers_mistake(
    dashboard, after, status
):
    assert ask(dashboard, f"/api/studies/1?after={after}")[0] == status


def test_a_client_that_names_no_encoding_gets_the_pages_program(dashboard):
    assert ask(dashboard, "/static/bundle.js")[0] == 200
