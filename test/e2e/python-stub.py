"""One call of Authorize for each JSON line on stdin, through a stub that protoc generated; one JSON line for each answer.

Arguments: the directory of the generated modules, the service's host:port.
"""
import json
import sys

sys.path.insert(0, sys.argv[1])

import grpc
from google.protobuf import json_format, struct_pb2

from datacrawl.authz.v1 import authorize_service_pb2 as messages
from datacrawl.authz.v1 import authorize_service_pb2_grpc as services


def authorize(stub, call):
    request = messages.AuthorizeRequest(tool=call["tool"], idempotency_key=call["key"])
    request.payload.CopyFrom(json_format.ParseDict(call["payload"], struct_pb2.Struct()))
    credential = call.get("credential")
    metadata = [] if credential is None else [("authorization", "Bearer " + credential)]
    try:
        answer = stub.Authorize(request, timeout=5, metadata=metadata)
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    return {"code": "OK", **json_format.MessageToDict(answer)}


with grpc.insecure_channel(sys.argv[2]) as channel:
    stub = services.AuthorizeServiceStub(channel)
    for line in sys.stdin:
        print(json.dumps(authorize(stub, json.loads(line))))
