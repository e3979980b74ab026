#!/usr/bin/env python3
"""A Lambda function that prints each event. Environment variables define its behaviour:

RESPONSE        the body of its response; {first} is replaced by the message id of the first record
ERROR           if set, the body is posted to /error
GATE            the path of a file; the function responds when this file exists
IGNORE_SIGTERM  if set, the function does not end on SIGTERM
"""

import http.client
import json
import os
import signal
import sys
import time

INVOCATION = "/2018-06-01/runtime/invocation"
MAX_PRINTED = 100_000  # bytes; the records of a larger event are not printed


def log(**fields):
    print(json.dumps(fields), flush=True)


def end(*_):
    log(signal="SIGTERM")
    if "IGNORE_SIGTERM" not in os.environ:
        sys.exit()


signal.signal(signal.SIGTERM, end)
kind = "error" if "ERROR" in os.environ else "response"
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", f"{INVOCATION}/next")
    invocation = api.getresponse()
    payload = invocation.read()
    records = json.loads(payload)["Records"]
    log(bytes=len(payload), count=len(records), records=records if len(payload) < MAX_PRINTED else None)
    while "GATE" in os.environ and not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    response = os.environ.get("RESPONSE", "").replace("{first}", records[0]["messageId"])
    request_id = invocation.headers["lambda-runtime-aws-request-id"]
    api.request("POST", f"{INVOCATION}/{request_id}/{kind}", response)
    api.getresponse().read()
