"""Lean text: budgets, honesty about what is left out, and columns."""

from __future__ import annotations

import pytest

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing, choose_fields, limit_listing
from pveops.cli.guest_items import count_guests, guest_listing
from pveops.cli.text import MAX_CHARS, render_text
from pveops.domain.guest import Guest
from pveops.errors import UsageError
from pveops.operations.findings import Finding


def make_guest(number: int, status: str = "running") -> Guest:
    return Guest(
        vmid=100 + number,
        kind="lxc" if number % 5 == 0 else "qemu",
        node=f"pve{number % 3 + 1}",
        name=f"web-prod-{number:02}",
        status=status,
        reported_status=status,
        tags=("prod",),
        pool="",
        lock="",
        is_template=False,
        hastate="",
        cpu=0.1,
        maxcpu=2.0,
        mem_bytes=1 << 30,
        maxmem_bytes=1 << 31,
        disk_bytes=0,
        maxdisk_bytes=1 << 35,
        uptime_s=3600,
    )


def make_fleet(count: int) -> tuple[Guest, ...]:
    return tuple(make_guest(n, "stopped" if n % 6 == 0 else "running") for n in range(count))


def test_a_list_of_65_guests_takes_at_most_1800_characters():
    """The budget of the design, §12."""
    guests = make_fleet(65)
    text = render_text(Answer(count_guests(guests), blocks=(guest_listing(guests),))).text
    assert len(text) <= 1800
    assert all(guest.name in text for guest in guests)


def test_a_long_list_says_in_its_header_what_a_blank_means():
    guests = make_fleet(65)
    header = render_text(Answer("", blocks=(guest_listing(guests),))).text.splitlines()[0]
    assert "status(running if blank)" in header
    assert "kind(qemu if blank)" in header


def test_a_short_list_leaves_nothing_blank():
    text = render_text(Answer("", blocks=(guest_listing((make_guest(1),)),))).text
    assert text.splitlines()[1].split() == ["101", "web-prod-01", "qemu", "pve2", "running"]


def test_a_list_of_10000_guests_is_cut_and_says_so():
    guests = make_fleet(10_000)
    shown = render_text(
        Answer(count_guests(guests), blocks=(guest_listing(guests),)), more="pve guest list --full"
    )
    assert len(shown.text) <= MAX_CHARS
    rows = [line for line in shown.text.splitlines() if "web-prod" in line]
    assert shown.text.splitlines()[-1] == (
        f"showing {len(rows)} of 10000 rows; more: pve guest list --full"
    )
    assert shown.text.startswith("10000 guests: ")


def test_what_comes_next_survives_any_cut():
    lines = Lines(tuple(f"line {number} " + "x" * 80 for number in range(200)))
    text = render_text(Answer("verdict", blocks=(lines,), next=("pve run wait run_1",))).text
    assert len(text) <= MAX_CHARS
    assert text.startswith("verdict\n")
    assert text.endswith("next: pve run wait run_1\n")
    assert "of 200 lines" in text


def test_blocks_after_a_cut_are_counted():
    long = Lines(tuple("x" * 90 for _ in range(100)))
    text = render_text(Answer("v", blocks=(long, Facts((("a", "b"),))))).text
    assert "and nothing of 1 more parts" in text


def test_full_shows_everything():
    guests = make_fleet(1000)
    text = render_text(Answer("", blocks=(guest_listing(guests),)), limit=None).text
    assert all(guest.name in text for guest in guests)


def test_an_enormous_verdict_stays_within_the_limit():
    assert len(render_text(Answer("x" * 100_000, next=("y" * 100_000,))).text) <= MAX_CHARS


def test_findings_come_before_the_lists():
    finding = Finding("guest.locked", "block", "vm/101", "it is locked (backup)", "UPID", "wait")
    text = render_text(Answer("v", findings=(finding,), blocks=(Lines(("body",)),))).text
    assert text.splitlines()[1:] == [
        "problem vm/101: it is locked (backup) [UPID] -> wait",
        "body",
    ]


@pytest.mark.parametrize(
    ("names", "separator"), [(("aaaa", "bbbb"), " "), (("a", "b" * 30), "\t")]
)
def test_columns_are_aligned_only_where_that_costs_nothing(names, separator):
    rows = [{"name": name, "state": "up"} for name in names]
    listing = Listing(rows, dict, ("name", "state"), (Column("name"), Column("state")))
    assert f"{names[0]}{separator}" in render_text(Answer("", blocks=(listing,))).text


def test_a_sparse_column_without_values_is_left_out():
    text = render_text(Answer("", blocks=(guest_listing((make_guest(1),)),))).text
    assert "lock" not in text
    locked = make_guest(1)._replace(lock="backup")
    assert "lock" in render_text(Answer("", blocks=(guest_listing((locked,)),))).text


def test_chosen_fields_are_all_that_is_shown():
    answer = choose_fields(Answer("", blocks=(guest_listing((make_guest(1),)),)), ("name", "tags"))
    assert render_text(answer).text == "name\ttags\nweb-prod-01\tprod\n"


def test_an_unknown_field_names_the_known_ones():
    with pytest.raises(UsageError) as caught:
        choose_fields(Answer("", blocks=(guest_listing(()),)), ("colour",))
    assert "colour" in caught.value.message
    assert "maxmem_bytes" in caught.value.hint


def test_fields_of_an_answer_without_a_list_are_a_usage_error():
    with pytest.raises(UsageError):
        choose_fields(Answer("v"), ("name",))


def test_a_limit_keeps_the_count():
    answer = limit_listing(Answer("", blocks=(guest_listing(make_fleet(10)),)), 3)
    assert answer.listing is not None
    assert (len(answer.listing.rows), answer.listing.size) == (3, 10)
    assert "showing 3 of 10 rows" in render_text(answer).text


def test_a_cell_never_holds_a_tab_or_a_line_break():
    listing = Listing([{"name": "a\tb\nc"}], dict, ("name",), (Column("name"),))
    assert render_text(Answer("", blocks=(listing,))).text == "name\na b c\n"


def test_a_finding_that_several_share_is_told_once_with_all_of_them() -> None:
    findings = (
        Finding("a", "info", "vm/101", "no backup", "seen", "mend it"),
        Finding("b", "block", "vm/101", "locked"),
        Finding("a", "info", "vm/102", "no backup", "seen", "mend it"),
    )
    text = render_text(Answer("verdict", findings=findings)).text
    assert text == (
        "verdict\ninfo vm/101, vm/102: no backup [seen] -> mend it\nproblem vm/101: locked\n"
    )


def test_the_subjects_of_a_shared_finding_are_counted_when_they_are_too_many() -> None:
    findings = tuple(Finding("a", "info", f"vm/{number}", "no backup") for number in range(15))
    assert " vm/11 and 3 more: no backup" in render_text(Answer("", findings=findings)).text


def test_evidence_that_the_remedy_names_is_not_told_twice() -> None:
    finding = Finding("a", "block", "vm/101", "locked", "UPID:x", "wait: `pve task wait UPID:x`")
    text = render_text(Answer("verdict", findings=(finding,))).text
    assert text == "verdict\nproblem vm/101: locked -> wait: `pve task wait UPID:x`\n"


def make_usual(rows: tuple[int, ...], total: int | None = None) -> Answer:
    listing = Listing(
        rows,
        lambda row: {"n": row},
        ("n",),
        (Column("n"),),
        total=total,
        usual="even",
        is_usual=lambda row: row % 2 == 0,
    )
    return Answer("verdict", blocks=(listing,))


def test_rows_that_need_no_look_are_counted() -> None:
    text = render_text(make_usual((1, 2, 3, 4)), more="pve x --full")
    assert text.text == "verdict\nn\n1\n3\nnot listed: 2 that are even; all: pve x --full\n"
    assert not text.total


def test_a_list_of_rows_that_need_no_look_has_no_header() -> None:
    text = render_text(make_usual((2, 4))).text
    assert text == "verdict\nnot listed: 2 that are even; all: --full\n"


def test_a_limit_counts_rows_of_any_kind() -> None:
    text = render_text(limit_listing(make_usual((1, 2, 3)), 2)).text
    assert text == "verdict\nn\n1\n2\nshowing 2 of 3 rows; more: --full\n"


def test_what_a_listing_holds_only_in_part_is_still_told_beside_what_needs_no_look() -> None:
    text = render_text(make_usual((1, 2), total=10)).text
    assert "not listed: 1 that are even" in text
    assert "showing 1 of 9 rows" in text


def test_every_row_is_shown_when_all_is_asked_for_or_its_fields_are() -> None:
    assert render_text(make_usual((1, 2)), limit=None).text == "verdict\nn\n1\n2\n"
    assert render_text(choose_fields(make_usual((1, 2)), ["n"])).text == "verdict\nn\n1\n2\n"
