"""A real nginx as the upstream: files by length, chunked and to the close; uploads passed on."""

import shutil
from pathlib import Path

from tests.e2e.processes import Process, clean_environment, free_ports

_CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location /length/ {{ alias {files}/; }}
        # Server side includes may change the length, so nginx does not state one.
        location /chunked/ {{ alias {files}/; ssi on; ssi_types *; }}
        location /closed/ {{ alias {files}/; ssi on; ssi_types *; chunked_transfer_encoding off; }}
        location /upload {{
            proxy_pass http://127.0.0.1:{sink_port};
            proxy_http_version 1.1;
            proxy_request_buffering off;
        }}
    }}
}}
"""


def start_nginx(folder: Path, files: Path, sink_port: int) -> tuple[Process, int]:
    """(process, port). `/upload` goes to the sink unbuffered."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, files=files, port=port, sink_port=sink_port))
    command = [program, "-p", str(folder), "-c", str(config), "-e", "stderr"]
    return Process(command, folder / "log", clean_environment(), folder), port
