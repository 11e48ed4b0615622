"""What the CLI does with files alone: a new front-end's directory, a user's certificate."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frontend.cli.contexts import Context, Contexts
from frontend.cli.contexts import load as load_contexts
from frontend.cli.errors import usage
from frontend.cli.records import Record

if TYPE_CHECKING:
    from frontend.auth.certificates import Authority
    from frontend.config import ReplicaAddresses

_FORM = "write --replica 1=HOST:RAFT:API:TOKEN, for instance 1=10.0.0.1:7001:7002:7003"


def init(directory: Path, replicas: tuple[str, ...]) -> Record:
    """Makes *directory*. Raises a usage error for bad addresses or a directory that is in use."""
    from frontend.config import ConfigError, init_cluster

    addresses = [_replica(text) for text in replicas]
    try:
        cluster_id = init_cluster(directory, addresses)
    except ConfigError as error:
        raise usage(str(error), "`skyraft cluster init --help` shows an example") from error
    return {
        "cluster_id": cluster_id,
        "directory": str(directory),
        "contexts_file": str(directory / "admin" / "config.toml"),
        "replicas": [
            {
                "id": each.id,
                "config": str(directory / f"replica-{each.id}" / "replica.toml"),
                "raft": each.raft,
                "api": each.api,
                "token": each.token,
            }
            for each in addresses
        ],
    }


def after_init(record: Record) -> str:
    """How to go on, for people."""
    starts = "\n".join(
        f"  skyraft-replica --config {each['config']}" for each in record["replicas"]
    )
    return (
        "\nEach replica needs its own directory on its machine, and nothing else. Start them with\n"
        f"{starts}\n"
        "then use them with\n"
        f"  export SKYRAFT_CONFIG={Path(record['contexts_file']).absolute()}\n"
        "  skyraft cluster status\n"
        f"Keep {record['directory']}/ca safe: whoever has its key is every user and every host.\n"
    )


def certificate(directory: Path, user: str, admin: bool, days: int, out: Path | None) -> Record:
    """Writes the files of *user* to *out*. Raises a usage error for a directory without a CA, a
    bad name, or an *out* that exists."""
    from frontend.auth.certificates import CertificateError, Role

    out = out or directory / user
    wanted = "DIRECTORY is what `skyraft cluster init` made, with its ca/ca.key"
    role = Role.ADMIN if admin else Role.USER
    try:
        authority, addresses = _authority(directory)
        issued = authority.issue_user(user, role, timedelta(days=days))
    except OSError as error:
        raise usage(f"cannot read {error.filename}: {error.strerror}", wanted) from error
    except (CertificateError, ValueError) as error:
        raise usage(str(error), wanted) from error
    try:
        out.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise usage(f"{out} exists", "name a new directory with --out") from None
    except OSError as error:
        raise usage(f"cannot make {out}: {error.strerror}", "name another with --out") from error
    files = {
        "ca": ("ca.crt", authority.certificate_pem),
        "certificate": (f"{user}.crt", issued.certificate_pem),
        "key": (f"{user}.key", issued.key_pem),
    }
    paths = {kind: out / name for kind, (name, _) in files.items()}
    for kind, (_, pem) in files.items():
        with open(os.open(paths[kind], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    contexts = Contexts(path=(out / "config.toml").absolute())
    contexts.with_entry(
        Context(
            name=user,
            addresses=addresses,
            ca=paths["ca"],
            certificate=paths["certificate"],
            key=paths["key"],
        )
    ).save()
    return {
        "user": user,
        "role": role.value.upper(),
        "days": days,
        **{kind: str(path) for kind, path in paths.items()},
        "contexts_file": str(contexts.path),
    }


def _authority(directory: Path) -> tuple[Authority, tuple[str, ...]]:
    """The CA and the replicas' API addresses, from what `init` left for the first admin."""
    from cryptography import x509

    from frontend.auth.certificates import Authority, load_certificate
    from protos.identity import identity_in

    admin = load_certificate((directory / "admin" / "admin.crt").read_bytes())
    names = admin.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    cluster_id = identity_in(names.get_values_for_type(x509.UniformResourceIdentifier)).cluster_id
    ca = directory / "ca"
    authority = Authority.load(cluster_id, ca / "ca.crt", ca / "ca.key")
    return authority, load_contexts(directory / "admin" / "config.toml").pick(None).addresses


def _replica(text: str) -> ReplicaAddresses:
    from frontend.config import ReplicaAddresses

    replica_id, equals, place = text.partition("=")
    parts = place.rsplit(":", 3)
    if not equals or len(parts) != 4 or not all(parts):
        raise usage(f"{text!r} does not name a replica", _FORM)
    host, *ports = parts
    names: dict[str, Any] = dict(zip(("raft", "api", "token"), ports, strict=True))
    return ReplicaAddresses(
        id=replica_id, **{name: f"{host}:{port}" for name, port in names.items()}
    )
