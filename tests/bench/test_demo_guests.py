"""What the demo reads from a guest's console decides whether it believes that nothing stopped."""

from __future__ import annotations

from bench.demo_guests import ConsoleFacts, read_console

BOOT = """\
[    0.123] Linux version 6.1.0
skyraft-guest boot=one
hostname=web-1
ip=172.20.0.10/24 mac=02:00:ac:14:00:0a
ssh_key=ssh-ed25519 AAAA ann@home
ssh_key=ssh-ed25519 BBBB x=y
uptime=2
uptime=3
"""


def test_identity_and_uptime_are_read_between_other_lines():
    assert read_console(BOOT) == ConsoleFacts(
        boots=("one",),
        hostname="web-1",
        ip="172.20.0.10",
        ssh_keys=frozenset({"ssh-ed25519 AAAA ann@home", "ssh-ed25519 BBBB x=y"}),
        uptime_s=3,
    )


def test_silent_console_says_nothing():
    assert read_console("") == ConsoleFacts()
    assert read_console("[    0.123] Linux version 6.1.0").uptime_s == -1


def test_guest_that_began_anew_is_noticed():
    facts = read_console(BOOT + BOOT.replace("boot=one", "boot=two"))
    assert facts.boots == ("one", "two")
    assert facts.uptime_fell


def test_line_that_is_still_being_written_is_not_believed():
    assert read_console(BOOT + "uptime=").uptime_s == 3
