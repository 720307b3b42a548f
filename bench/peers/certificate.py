"""A certificate for 127.0.0.1, signed by itself: each subject is given the same one."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """`both`: key and certificate in one file, as HAProxy wants them."""

    certificate: Path
    key: Path
    both: Path


def issue(folder: Path) -> Pair:
    """ECDSA P-256, the usual kind today: its signature is cheap, so that a handshake shows what else it
    costs.
    """
    folder.mkdir()
    pair = Pair(folder / "certificate.pem", folder / "key.pem", folder / "both.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(pair.key), "-out", str(pair.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    pair.both.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    # nginx reads as root, and root is not always who starts this.
    for path in (pair.certificate, pair.key, pair.both):
        path.chmod(0o644)
    return pair
