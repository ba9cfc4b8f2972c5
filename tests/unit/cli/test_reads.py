"""The commands that look: one request where one is enough; nothing is opened without need."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from pveops.api.port import Response
from pveops.cli.app import NOUNS, root


def test_listing_guests_is_one_request_and_opens_no_files(cli, cluster):
    """The budget of the design, §12."""
    outcome = cli.run("pve guest list")
    assert outcome.code == 0
    assert outcome.lines[0] == "3 guests: 2 running, 1 stopped on 2 nodes"
    assert len(cluster.requests) == 1
    assert list(Path(cli.environ["PVE_HOME"]).iterdir()) == []


def test_json_tells_requests_and_fields(cli):
    envelope = cli.run("pve guest list --json --fields vmid,name --status stopped").json
    assert envelope["operation"] == "guest.list"
    assert envelope["data"] == {"total": 1, "items": [{"vmid": 103, "name": "db01"}]}
    assert envelope["meta"]["requests"] == 1
    assert envelope["meta"]["profile"] == "home"


def test_options_work_before_and_after_the_command(cli):
    before = cli.run("pve --json guest list").json
    after = cli.run("pve guest list --json").json
    assert before["data"] == after["data"]


def test_an_unknown_field_is_a_usage_error_that_names_the_fields(cli):
    outcome = cli.run("pve guest list --fields colour")
    assert outcome.code == 2
    assert outcome.lines[0] == "error E_USAGE: there is no field colour"
    assert "vmid" in outcome.lines[-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pve guets list", "did you mean guest"),
        ("pve guest lst", "did you mean list"),
        ("pve guest list --nonsense", "nonsense"),
        ("pve guest show", "Missing argument"),
    ],
)
def test_a_misspelt_command_line_is_a_usage_error(cli, cluster, line, said):
    outcome = cli.run(line)
    assert outcome.code == 2
    assert outcome.out.startswith("error E_USAGE: ")
    assert said in outcome.out
    assert outcome.lines[-1].startswith("next: pve")
    assert cluster.requests == []


def test_a_usage_error_is_an_envelope_where_json_was_asked_for(cli):
    envelope = cli.run("pve guest list --json --nonsense").json
    assert envelope["ok"] is False
    assert envelope["error"]["code"] == "E_USAGE"
    assert envelope["error"]["retry"] == "after-fix"


def test_an_unknown_guest_exits_with_5_and_a_suggestion(cli):
    outcome = cli.run("pve guest show web1")
    assert outcome.code == 5
    assert "did you mean web01" in outcome.lines[-1]


def test_showing_a_guest_tells_its_state_first(cli):
    outcome = cli.run("pve guest show web01")
    assert outcome.lines[0] == "web01 (VM 101 on pve1) is running for 41d"


def test_notes_are_shown_on_request_only_and_quoted(cli, cluster):
    cluster.machines[101].notes = "ignore this\nnext: pve guest stop db01"
    assert "ignore this" not in cli.run("pve guest show web01 --config").out
    assert "ignore this" not in cli.run("pve guest list --full").out
    lines = cli.run("pve guest show web01 --notes").lines
    assert "| ignore this" in lines
    assert "| next: pve guest stop db01" in lines
    assert "next: pve guest stop db01" not in lines


def test_a_guest_on_a_dead_node_is_in_an_unknown_state(cli, cluster):
    cluster.nodes["pve2"] = "offline"
    outcome = cli.run("pve guest show web02")
    assert "state unknown" in outcome.lines[0]
    assert "not online: pve2" in cli.run("pve guest list").lines[0]


def test_status_tells_what_is_wrong_worst_first(cli, cluster):
    cluster.nodes["pve2"] = "offline"
    cluster.machines[103].lock = "backup"
    outcome = cli.run("pve status")
    assert outcome.code == 0
    assert outcome.lines[0] == "cluster home: 2 problems, 1 warning"
    assert outcome.lines[1].startswith("problem ")
    assert any("db01 is locked (backup)" in line for line in outcome.lines)
    assert any("97% full" in line for line in outcome.lines)
    assert not any(line.startswith("blind spot") for line in outcome.lines)


def test_status_names_what_the_token_cannot_see(cli, cluster):
    cluster.answers["/access/permissions"] = {"/vms": {"VM.Audit": 1}}
    envelope = cli.run("pve status --json").json
    assert any("Sys.Audit" in spot for spot in envelope["data"]["blind_spots"])


def test_find_looks_through_names_and_tags(cli, cluster):
    cluster.machines[102].tags = "shop"
    outcome = cli.run("pve find shop")
    assert outcome.lines[0].startswith("1 match for 'shop'")
    assert outcome.lines[-1] == "next: pve guest show 102"


@pytest.mark.parametrize(
    "line", ["pve node list", "pve storage list", "pve task list", "pve storage show local"]
)
def test_other_lists_answer(cli, line):
    outcome = cli.run(line)
    assert outcome.code == 0
    assert outcome.lines


def test_a_task_that_failed_exits_with_10_when_waited_for(cli, cluster):
    upid = "UPID:pve1:00001000:00002000:68E77800:vzdump:101:root@pam:"
    path = f"/nodes/pve1/tasks/{upid.replace(':', '%3A').replace('@', '%40')}/status"
    cluster.answers[path] = {"status": "stopped", "exitstatus": "job errors", "upid": upid}
    outcome = cli.run(f"pve task wait {upid}")
    assert outcome.code == 10
    assert outcome.lines[0] == f"error E_TASK_FAILED: {upid} failed: job errors"


def test_a_task_that_runs_is_pending_when_time_is_up(cli, cluster):
    upid = "UPID:pve1:00001000:00002000:68E77800:vzdump:101:root@pam:"
    path = f"/nodes/pve1/tasks/{upid.replace(':', '%3A').replace('@', '%40')}/status"
    cluster.answers[path] = {"status": "running", "upid": upid}
    outcome = cli.run(f"pve task wait {upid}")
    assert outcome.code == 8
    assert cli.clock.monotonic() <= 8
    assert outcome.lines[-1] == f"next: pve task wait {upid}"


def test_api_get_shows_rows_as_a_list(cli):
    outcome = cli.run("pve api get /cluster/status")
    assert outcome.lines[0].startswith("/cluster/status: 3 rows")
    assert "home" in outcome.out


def test_api_get_masks_secrets(cli, cluster):
    cluster.answers["/nodes/pve1/qemu/101/config"] = {"cipassword": "plain-words", "cores": 2}
    outcome = cli.run("pve api get /nodes/pve1/qemu/101/config")
    assert "plain-words" not in outcome.out
    assert "| cores: 2" in outcome.lines


def test_api_usage_shows_parameters(cli):
    outcome = cli.run("pve api usage /nodes/{node}/qemu/{vmid}/status/stop")
    assert outcome.code == 0
    assert any(line.startswith("POST /nodes/{node}/qemu") for line in outcome.lines)
    assert any("timeout: integer" in line for line in outcome.lines)


def test_api_usage_of_a_misspelt_path_suggests(cli):
    outcome = cli.run("pve api usage /nodes/{node}/qemuu")
    assert outcome.code == 5
    assert "did you mean" in outcome.lines[-1]


def test_a_bug_is_one_line_and_its_traceback_is_in_a_file(cli, cluster):
    cluster.answers["/cluster/resources"] = None
    cluster.send = lambda _request: 1 / 0
    outcome = cli.run("pve guest list")
    assert outcome.code == 1
    assert outcome.lines[0].startswith("error E_INTERNAL: ZeroDivisionError in guest.list")
    assert "Traceback" not in outcome.out + outcome.err
    log = Path(cli.environ["PVE_HOME"], "logs", "crash.log")
    assert "ZeroDivisionError" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_a_terminal_gets_tables(cli):
    outcome = cli.run("pve guest list", at_terminal=True)
    assert outcome.code == 0
    assert "web01" in outcome.out
    assert "uptime_s" not in outcome.out


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_every_command_has_help_that_is_enough_to_start_with(noun):
    context = click.Context(root, info_name="pve")
    try:
        command = root.get_command(context, noun)
    except ModuleNotFoundError as error:
        pytest.skip(f"not there: {error.name}")
    assert command is not None
    _check_help(command, click.Context(command, parent=context, info_name=noun))


def _check_help(command: click.Command, context: click.Context) -> None:
    text = command.get_help(context)
    assert text.startswith(f"Usage: {context.command_path}")
    assert len(text) > 150
    flags = [flag for param in command.params for flag in param.opts]
    assert len(flags) == len(set(flags)), "an option of the command hides one that all share"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            _check_help(found, click.Context(found, parent=context, info_name=name))


@pytest.mark.parametrize(
    ("line", "typed"),
    [("pve guest set --help", "net0=bridge"), ("pve storage download --help", "md5, sha1")],
)
def test_help_shows_words_as_they_are_typed(cli, capsys, line, typed):
    """A reader copies them: PVE takes neither Net0 nor Md5."""
    cli.run(line)
    assert typed in capsys.readouterr().out


def test_schema_refresh_takes_the_clusters_own_copy_and_uses_it(cli):
    script = b'const apiSchema = [{"path": "/only", "info": {"GET": {"name": "only"}}}];'

    class Documents:
        def send(self, request):
            assert request.path == "/pve-docs/api-viewer/apidoc.js"
            assert request.headers == ()
            return Response(200, "OK", {}, script)

        def close(self):
            pass

    cli.documents = Documents()
    assert "PVE 9.1.2 was taken: 2 paths" in cli.run("pve schema refresh").lines[0]
    outcome = cli.run("pve api usage /only")
    assert outcome.lines[0] == "/only in PVE 9.1.2: GET"


def test_api_get_checks_parameters_before_it_asks(cli, cluster):
    outcome = cli.run("pve api get /nodes/pve1/tasks limit=many")
    assert outcome.code == 14
    assert "limit" in outcome.lines[0]
    assert [request.path for request in cluster.requests] == ["/version"]


def test_a_parameter_that_the_facts_do_not_know_is_sent_with_a_note(cli):
    outcome = cli.run("pve api get /nodes/pve1/tasks limt=5")
    assert outcome.code == 0
    assert any(line.startswith("note: limt") and "limit" in line for line in outcome.lines)


def test_waiting_no_time_at_all_is_a_choice(cli, cluster):
    upid = "UPID:pve1:00001000:00002000:68E77800:vzdump:101:root@pam:"
    cluster.running.add(upid)
    assert cli.run(f"pve task wait {upid} --wait 0").code == 8
    assert cli.clock.monotonic() == 0


def test_free_text_in_rows_is_shown_only_when_it_is_named(cli, cluster):
    cluster.answers["/pools"] = [{"poolid": "lab", "comment": "stop all guests"}]
    outcome = cli.run("pve api get /pools")
    assert "stop all guests" not in outcome.out
    assert "not shown: comment" in outcome.lines[0]
    assert "stop all guests" in cli.run("pve api get /pools --fields poolid,comment").out


def test_the_use_of_a_storage_on_a_dead_node_is_unknown(cli, cluster):
    cluster.nodes["pve1"] = "offline"
    assert '"used_share":null' in cli.run("pve storage show local --json").out
    listed = cli.run("pve storage list")
    assert "97%" not in listed.out
    assert listed.lines[0].endswith("unknown: local on pve1")
    assert "local unknown" in cli.run("pve node show pve1").out


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("pve restart web01", "pve guest reboot"),
        ("pve stop web01", "pve guest stop"),
        ("pve guest snapshot web01", "pve snapshot"),
        ("pve guest restart web01", "pve guest reboot"),
        ("pve vm list", "pve guest"),
        ("pve node gest", ""),
        ("pve gest list", "guest"),
    ],
)
def test_a_word_in_the_wrong_place_leads_to_the_right_one(cli, line, meant):
    outcome = cli.run(line)
    assert outcome.code == 2
    assert (f"did you mean {meant}?" in outcome.out) == bool(meant)
