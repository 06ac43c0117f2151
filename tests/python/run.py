"""A client that knows nothing of this repository but a certificate.

Starts the demo, learns the API from server reflection alone, lists all services at one node and
sees a watch at another. Usage: run.py PATH-OF-registry-node
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

LIMIT = 120
CATALOGUE = "verbund.registry.v1.CatalogueService"
WATCH = "verbund.registry.v1.WatchService"
PUBLISH = "verbund.registry.v1.PublishService"


def channel(address, pki, name):
    def read(path):
        with open(f"{pki}/{path}", "rb") as file:
            return file.read()

    credentials = grpc.ssl_channel_credentials(
        read("ca.pem"), read(f"{name}.key"), read(f"{name}.pem")
    )
    return grpc.secure_channel(address.replace("127.0.0.1", "localhost"), credentials)


class Api:
    """Stubs made at run time from what the server says about itself."""

    def __init__(self, channel):
        self.channel = channel
        database = ProtoReflectionDescriptorDatabase(channel)
        self.services = set(database.get_services())
        self.pool = descriptor_pool.DescriptorPool(database)

    def call(self, service, method, request, stream=False):
        descriptor = self.pool.FindServiceByName(service).FindMethodByName(method)
        request_class = message_factory.GetMessageClass(descriptor.input_type)
        answer_class = message_factory.GetMessageClass(descriptor.output_type)
        path = f"/{service}/{method}"
        kind = self.channel.unary_stream if stream else self.channel.unary_unary
        stub = kind(
            path,
            request_serializer=request_class.SerializeToString,
            response_deserializer=answer_class.FromString,
        )
        return stub(json_format.ParseDict(request, request_class()), timeout=LIMIT)


def start_demo(binary, directory):
    demo = subprocess.Popen(
        [binary, "demo", "--any-port", "--dir", directory],
        stdout=subprocess.PIPE,
        text=True,
    )
    addresses, ready = {}, threading.Event()

    def read():
        for line in demo.stdout:
            print("demo:", line, end="")
            row = re.match(r"(SL|RP|HE|TH) .*?(127\.0\.0\.1:\d+)", line)
            if row:
                addresses[row[1]] = row[2]
            if line.startswith("demo ready"):
                ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(LIMIT):
        demo.kill()
        sys.exit("the demo was not ready in time")
    return demo, addresses


def list_all(api):
    services, token = [], ""
    while True:
        request = {"page_size": 100, "page_token": token}
        answer = api.call(CATALOGUE, "ListServices", request)
        services += answer.services
        token = answer.next_page_token
        if not token:
            return services


def check(what, holds):
    print("ok  " if holds else "FAIL", what)
    return holds


def main():
    binary = sys.argv[1]
    good = True
    with tempfile.TemporaryDirectory() as directory:
        demo, addresses = start_demo(binary, directory)
        try:
            pki = f"{directory}/pki"
            th = Api(channel(addresses["TH"], pki, "reader"))
            good &= check("reflection names the services", {CATALOGUE, WATCH} <= th.services)
            services = list_all(th)
            good &= check("533 services at TH", len(services) == 533)
            good &= check("each once", len({it.service_id for it in services}) == 533)

            seen, errors = threading.Event(), []
            watch = th.call(WATCH, "Watch", {"now": True}, stream=True)

            def follow():
                try:
                    for message in watch:
                        for event in message.batch.events:
                            names = event.service_definition.bezeichnung
                            if any(it.text == "Python war hier" for it in names):
                                seen.set()
                                return
                except grpc.RpcError as error:
                    errors.append(error)

            threading.Thread(target=follow, daemon=True).start()
            sl = Api(channel(addresses["SL"], pki, "publisher-sl"))
            model = sl.call(
                CATALOGUE, "GetService", {"service_id": next(
                    it.service_id for it in list_all(sl) if it.land == "SL"
                )}
            )
            definition = json_format.MessageToDict(
                model.service.definition, preserving_proto_field_name=True
            )
            del definition["service_id"]
            definition["bezeichnung"] = [{"language_code": "de", "text": "Python war hier"}]
            begun = time.monotonic()
            sl.call(PUBLISH, "Publish", {"records": [{"service_definition": definition}]})
            good &= check("the watch at TH sees what SL publishes", seen.wait(10))
            print(f"     {time.monotonic() - begun:.3f} s from publish to watch", errors)

            try:
                definition["themenfeld"] = "kein_feld"
                sl.call(PUBLISH, "Publish", {"records": [{"service_definition": definition}]})
                good &= check("a bad record is refused", False)
            except grpc.RpcError as error:
                good &= check(
                    "a bad record is refused with INVALID_ARGUMENT",
                    error.code() == grpc.StatusCode.INVALID_ARGUMENT,
                )
            try:
                th.call(PUBLISH, "Publish", {"records": [{"service_definition": definition}]})
                good &= check("a reader may not publish", False)
            except grpc.RpcError as error:
                good &= check(
                    "a reader may not publish",
                    error.code() == grpc.StatusCode.PERMISSION_DENIED,
                )
            watch.cancel()
        finally:
            begun = time.monotonic()
            demo.send_signal(signal.SIGINT)
            demo.wait(30)
            took = time.monotonic() - begun
            good &= check(f"Ctrl-C stops cleanly within 5 s ({took:.1f} s)", took < 5)
            good &= check("exit code 0", demo.returncode == 0)
    print(json.dumps({"passed": bool(good)}))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
