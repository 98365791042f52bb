"""Messages through files: each comes once and in order, whoever is killed in the middle of one."""

from runner.training.mailbox import Incoming, Outgoing


def test_each_message_is_received_once_and_in_order(tmp_path):
    reader = Incoming(tmp_path / "box")
    assert [*reader.receive()] == []
    writer = Outgoing(tmp_path / "box")
    writer.send({"a": 1}, {"b": "two\nlines"})
    assert [*reader.receive()] == [{"a": 1}, {"b": "two\nlines"}]
    writer.send({"c": None})
    assert [*reader.receive()] == [{"c": None}]
    assert [*reader.receive()] == []
    writer.close()


def test_a_line_is_read_once_it_is_whole(tmp_path):
    reader, path = Incoming(tmp_path / "box"), tmp_path / "box"
    path.write_bytes(b'{"a": 1}\n{"b')
    assert [*reader.receive()] == [{"a": 1}]
    with path.open("ab") as file:
        file.write(b'": 2}\n')
    assert [*reader.receive()] == [{"b": 2}]


def test_a_line_that_a_killed_writer_left_torn_costs_no_other(tmp_path):
    path = tmp_path / "box"
    path.write_bytes(b'{"a": 1}\n{"b')
    writer = Outgoing(path)
    writer.send({"c": 3})
    writer.close()
    assert [*Incoming(path).receive()] == [{"a": 1}, {"c": 3}]


def test_what_is_no_message_is_skipped(tmp_path):
    path = tmp_path / "box"
    path.write_bytes(b'null\n[1]\n\xff\n"text"\n{"a": 1}\n')
    assert [*Incoming(path).receive()] == [{"a": 1}]
