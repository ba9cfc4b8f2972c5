"""The privileges that a call needs (pve-access-control RPCEnvironment.pm)."""

from __future__ import annotations

import pytest

from pveops.schema import Facts, Kind, Requirement, required_privileges, versions

FACTS = Facts.open("9.2")


def needed(method, path, /, **params):
    match = FACTS.resolve(method, path)
    assert match is not None
    return required_privileges(match.method, {**match.path_params, **params})


def test_templates_are_filled_in():
    found = needed("POST", "/nodes/pve1/qemu/100/status/stop")
    assert found == Requirement(Kind.PRIVILEGES, "/vms/100", ("VM.PowerMgmt",))


def test_what_was_not_given_stays_a_template():
    method = FACTS.method("POST", "/nodes/{node}/qemu/{vmid}/status/stop")
    assert required_privileges(method, {}).path == "/vms/{vmid}"


def test_an_alternative_counts_only_with_its_parameter():
    """`require_param`: a clone may be allowed by its pool, if it is made in one."""
    clone = "/nodes/pve1/qemu/100/clone"
    source = Requirement(Kind.PRIVILEGES, "/vms/100", ("VM.Clone",))
    target = Requirement(Kind.PRIVILEGES, "/vms/101", ("VM.Allocate",))
    pool = Requirement(Kind.PRIVILEGES, "/pool/dev", ("VM.Allocate",))
    alone = needed("POST", clone, newid=101)
    assert alone == Requirement(Kind.ALL, parts=(source, target), is_custom=True)
    pooled = needed("POST", clone, newid=101, pool="dev")
    assert pooled.parts == (source, Requirement(Kind.ANY, parts=(target, pool)))
    assert (
        str(pooled) == "/vms/100: VM.Clone and (/vms/101: VM.Allocate or /pool/dev: VM.Allocate)"
    )


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/access/ticket", Kind.WORLD),
        ("GET", "/version", Kind.EVERYONE),
        ("POST", "/cluster/config", Kind.ROOT),
    ],
)
def test_calls_that_need_no_privilege_or_the_root_user(method, path, kind):
    assert needed(method, path).kind is kind


def test_one_of_several_privileges_may_be_enough():
    found = needed("GET", "/nodes/pve1/storage/local/status")
    assert found.is_any
    assert str(found) == "/storage/local: Datastore.Audit|Datastore.AllocateSpace"


def test_a_user_is_changed_by_groups():
    found = needed("PUT", "/access/users/eve@pve", groups="a,b")
    everywhere, here = found.parts
    assert (everywhere.path, everywhere.privileges) == ("/access/groups", ("User.Modify",))
    assert [part.path for part in here.parts[:2]] == ["/access/groups/a", "/access/groups/b"]
    assert here.parts[2].kind is Kind.GROUP


def test_a_user_is_created_in_a_realm():
    realm, groups = needed("POST", "/access/users", userid="eve@pve").parts
    assert str(realm) == "/access/realm/pve: Realm.AllocateUser"
    assert str(groups) == "/access/groups: User.Modify"


def test_permissions_are_changed_on_a_path():
    assert needed("PUT", "/access/acl", path="/vms/100") == Requirement(Kind.MODIFY, "/vms/100")


@pytest.mark.parametrize("version", versions())
def test_every_expression_is_understood_but_the_broken_ones_of_8_3(version):
    """8.3 nests a few expressions of notification endpoints in a list of their own."""
    facts = Facts.open(version)
    unknown = [
        template
        for template in facts.templates()
        for name in facts.methods_at(template)
        if required_privileges(facts.method(name, template), {}).kind is Kind.UNKNOWN
    ]
    assert all(template.startswith("/cluster/notifications/") for template in unknown)
    assert bool(unknown) == (version == "8.3")
