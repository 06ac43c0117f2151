"""What the TLS listeners of a node really offer, as two independent scanners see it.

Starts the demo, scans the gRPC and the web listener of SL with testssl.sh and sslyze, looks for
session tickets with openssl, and compares what is offered with expected.json: anything more, and
anything less, fails. A server with the defaults of openssl is scanned too and must be found outside
of the profile, or else the scanners see nothing.

What they cannot see: neither knows hybrid groups with ML-KEM (node/tests/tls.rs does); sslyze does
not test tickets of TLS 1.3 and its SSL 2 probe takes no client certificate, so testssl.sh alone says
that there is no SSL 2, and openssl that there is no ticket; testssl.sh 3.0 takes no client
certificate, so it sees the half of the handshake before one is asked for.

Usage: scan.py PATH-OF-registry-node PATH-OF-sslyze-python [--record]
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).parent
LIMIT = 120
TICKET = 3
OLD = ["ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"]


def run(command, **more):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, errors="replace", **more
    )


def testssl(port, directory):
    report = directory / f"testssl-{port}.json"
    done = run(
        ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--openssl", "/usr/bin/openssl",
         "--jsonfile", str(report), "-p", "-s", "-f", "-S", "-e", f"localhost:{port}"],
        stdin=subprocess.DEVNULL,
    )
    if not report.exists():
        sys.exit(f"testssl.sh wrote no report:\n{done.stdout}{done.stderr}")
    found = {it["id"]: it["finding"] for it in json.loads(report.read_text())}
    protocols = ["SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3"]
    categories = ["NULL", "aNULL", "EXPORT", "LOW", "3DES_IDEA", "AVERAGE", "STRONG"]
    return {
        "protocols": [it for it in protocols if found[it].startswith("offered")],
        "categories": [
            it for it in categories if found[f"cipherlist_{it}"].startswith("offered")
        ],
        "ciphers": sorted(v.split()[-1] for k, v in found.items() if k.startswith("cipher_x")),
        "curves": sorted(found.get("PFS_ECDHE_curves", "").split()),
        "finite_field_groups": sorted(found.get("DH_groups", "").split()),
        "alpn": found.get("ALPN_HTTP2", "none"),
        "session_ticket": found["TLS_session_ticket"].split()[0],
        "resumption": [found["sessionresumption_ticket"], found["sessionresumption_ID"]],
        "signature": found["cert_signatureAlgorithm"],
        "key": found["cert_keySize"],
    }


def sslyze(python, port, directory, certificate):
    report = directory / f"sslyze-{port}.json"
    command = [python, "-m", "sslyze", f"localhost:{port}", "--mozilla_config", "disable",
               "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--elliptic_curves",
               "--early_data", "--compression", "--json_out", str(report)]
    if certificate:
        command += ["--cert", f"{certificate}.pem", "--key", f"{certificate}.key"]
    done = run(command)
    if not report.exists():
        sys.exit(f"sslyze wrote no report:\n{done.stdout}{done.stderr}")
    [server] = json.loads(report.read_text())["server_scan_results"]
    scans = server["scan_result"]

    def result(name):
        scan = scans[name]
        if scan["status"] != "COMPLETED":
            sys.exit(f"sslyze {name}: {scan['status']}\n{scan['error_trace']}")
        return scan["result"]

    suites = {it: result(f"{it}_cipher_suites") for it in OLD + ["tls_1_3"]}
    return {
        "protocols": [it for it, found in suites.items() if found["accepted_cipher_suites"]],
        "ciphers": sorted(
            {suite["cipher_suite"]["name"]
             for found in suites.values() for suite in found["accepted_cipher_suites"]}
        ),
        "curves": sorted(it["name"] for it in result("elliptic_curves")["supported_curves"] or []),
        "compression": result("tls_compression")["supports_compression"],
        "early_data": result("tls_1_3_early_data")["supports_early_data"],
    }


def handshake(command):
    """Tickets come after the handshake; that there is none shows only after some waiting."""
    client = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        client.wait(timeout=TICKET)  # a server that refuses ends it
    except subprocess.TimeoutExpired:
        pass
    shown, _ = client.communicate(timeout=LIMIT)  # the end of its input ends it
    return shown.decode(errors="replace")


def openssl(port, certificate, ca):
    command = ["openssl", "s_client", "-connect", f"localhost:{port}", "-msg",
               "-alpn", "http/1.1,h2"]
    if ca:
        command += ["-CAfile", str(ca), "-verify_return_error", "-verify_hostname", "localhost"]
    with_one = ["-cert", f"{certificate}.pem", "-key", f"{certificate}.key"] if certificate else []
    shown, bare = handshake(command + with_one), handshake(command)
    return {
        "verified": "Verify return code: 0 (ok)" in shown,
        "tickets": len(re.findall(r"<<< .*NewSessionTicket", shown)),
        "asks_for_a_certificate": "CertificateRequest" in shown,
        "refuses_without_one": "certificate required" in bare,
        "signs_with": re.findall(r"Peer signature type: (.*)", shown),
    }


def scanned(python, port, directory, certificate, ca):
    by_openssl = openssl(port, certificate, ca)  # alone: a server that is busy hides its tickets
    with ThreadPoolExecutor() as pool:
        by_testssl = pool.submit(testssl, port, directory)
        by_sslyze = pool.submit(sslyze, python, port, directory, certificate)
        return {
            "testssl": by_testssl.result(),
            "sslyze": by_sslyze.result(),
            "openssl": by_openssl,
        }


def demo(node, directory):
    child = subprocess.Popen(
        [node, "demo", "--any-port", "--empty", "--dir", str(directory / "demo")],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "RUST_LOG": "error"},
    )
    alarm = threading.Timer(LIMIT, child.kill)
    alarm.start()
    ports = None
    for line in child.stdout:
        row = re.match(r"SL +\S+ +127\.0\.0\.1:(\d+) +127\.0\.0\.1:(\d+)", line)
        if row:
            ports = {"grpc": int(row[1]), "web": int(row[2])}
        if line.strip() == "demo ready":
            break
    alarm.cancel()
    if ports is None:
        child.kill()
        sys.exit("the demo did not start")
    return child, ports


def differences(expected, found, path=""):
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            yield from differences(expected.get(key), found.get(key), f"{path}/{key}")
    elif expected != found:
        yield f"{path}: expected {json.dumps(expected)}, found {json.dumps(found)}"


def listening(port):
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def control(python, directory, expected):
    """A server with the defaults of openssl must show on both scanners and on the tickets."""
    certificate = directory / "demo/pki/sl-1"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["openssl", "s_server", "-quiet", "-www", "-accept", str(port), "-cert",
         f"{certificate}.pem", "-key", f"{certificate}.key"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        listening(port)
        found = scanned(python, port, directory, None, None)
    finally:
        server.kill()
        server.wait()
    outside = list(differences(expected, found))
    for where, what in [
        ("/testssl/protocols", "TLS1_2"), ("/testssl/ciphers", "CHACHA20"),
        ("/testssl/curves", "X25519"), ("/sslyze/protocols", "tls_1_2"),
        ("/sslyze/ciphers", "CHACHA20"), ("/sslyze/curves", "X25519"), ("/openssl/tickets", ""),
        ("/openssl/asks_for_a_certificate", "false"),
    ]:
        if not any(it.startswith(where + ":") and what in it for it in outside):
            sys.exit(f"the scanners do not see {what} at {where} of an ordinary server:\n"
                     + "\n".join(outside))
    print(f"an ordinary server is outside of the profile in {len(outside)} points")


def main():
    node, python = sys.argv[1:3]
    expected_file = HERE / "expected.json"
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        child, ports = demo(node, directory)
        try:
            pki = directory / "demo/pki"
            with ThreadPoolExecutor() as pool:
                scans = {
                    name: pool.submit(
                        scanned, python, port, directory, pki / "reader", pki / "ca.pem"
                    )
                    for name, port in ports.items()
                }
                found = {name: scan.result() for name, scan in scans.items()}
            # a scan that killed the node would have seen little
            if child.poll() is not None:
                sys.exit("the demo ended while it was scanned")
            text = json.dumps(found, indent=2, sort_keys=True) + "\n"
            if "--record" in sys.argv:
                expected_file.write_text(text)
            print(text)
            expected = json.loads(expected_file.read_text())
            outside = list(differences(expected, found))
            if outside:
                sys.exit("offered is not what the profile says:\n" + "\n".join(outside))
            control(python, directory, expected["grpc"])
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(timeout=LIMIT)
    print("the listeners offer the profile bsi and nothing else")


main()
