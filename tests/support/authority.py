"""Certificates for tests, made by the openssl command: a private authority and what it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from proxy.edge.config_listeners import CertificateFiles


@dataclass(frozen=True, slots=True)
class Pair:
    certificate: Path
    key: Path

    @property
    def files(self) -> CertificateFiles:
        return CertificateFiles(str(self.certificate), str(self.key))


class Authority:
    """Each is its own root: what another one signed is foreign to it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.certificate, self._key = folder / "ca.pem", folder / "ca.key"
        _openssl(
            *("req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=authority"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "keyUsage=critical,keyCertSign"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def issue(self, file_name: str, *names: str, passphrase: str = "") -> Pair:
        """`names`: the first becomes the common name too."""
        pair = Pair(self._folder / f"{file_name}.pem", self._folder / f"{file_name}.key")
        alternative = ",".join(f"DNS:{name}" for name in names)
        _openssl(
            *("req", "-x509", "-days", "2", "-subj", f"/CN={names[0]}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *(("-passout", f"pass:{passphrase}") if passphrase else ("-nodes",)),
            *("-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-addext", f"subjectAltName={alternative}"),
            *("-keyout", str(pair.key), "-out", str(pair.certificate)),
        )
        return pair


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
