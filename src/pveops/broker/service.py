"""The broker as a service of systemd, and its account."""

from __future__ import annotations

from pathlib import Path

ACCOUNT = "pve-broker"
HOME = Path("/var/lib/pve-broker")
FOLDER = HOME / "pve"
"""The broker's PVE_HOME. The identity that opens its secrets lies in HOME, outside of it."""
SOCKET = Path("/run/pve-broker/socket")
UNIT = Path("/etc/systemd/system/pve-broker.service")

_SYSTEM_UNIT = """\
[Unit]
Description=Broker of pveops: changes Proxmox VE clusters for agents, after a person's consent
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
User={account}
ExecStart={program} serve --socket {socket}
Environment=PVE_HOME={folder}
Restart=on-failure
# Runs that have begun go on; what was cut off is picked up with `pve run resume`.
KillMode=process
RuntimeDirectory=pve-broker
RuntimeDirectoryMode=0755
StateDirectory=pve-broker
StateDirectoryMode=0700
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""

_USER_UNIT = """\
[Unit]
Description=Broker of pveops, under the same account as its callers: order, no boundary

[Service]
Type=exec
ExecStart={program} serve --socket {socket}
Environment=PVE_HOME={folder}
Restart=on-failure
KillMode=process
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def system_unit(program: Path, *, account: str = ACCOUNT) -> str:
    """The unit of a broker with an account of its own."""
    return _SYSTEM_UNIT.format(account=account, program=program, socket=SOCKET, folder=FOLDER)


def user_unit(program: Path, folder: Path, socket: Path) -> str:
    """The unit of a broker that shares the account of its callers."""
    return _USER_UNIT.format(program=program, socket=socket, folder=folder)
