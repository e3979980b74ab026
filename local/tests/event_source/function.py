#!/usr/bin/env python3
"""A function that prints what it is given and answers as its environment says:

ANSWER    the body of its response, in which {first} is the first record's message id
ERROR     set: that body goes to /error
GATE      it answers when this file exists
STUBBORN  set: it does not end on SIGTERM
"""

import http.client
import json
import os
import signal
import sys
import time

INVOCATION = "/2018-06-01/runtime/invocation"
PRINTED = 100_000


def tell(**what):
    print(json.dumps(what), flush=True)


def end(*_):
    tell(signal="SIGTERM")
    if "STUBBORN" not in os.environ:
        sys.exit()


signal.signal(signal.SIGTERM, end)
kind = "error" if "ERROR" in os.environ else "response"
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", f"{INVOCATION}/next")
    invocation = api.getresponse()
    payload = invocation.read()
    records = json.loads(payload)["Records"]
    tell(bytes=len(payload), count=len(records), records=records if len(payload) < PRINTED else None)
    while "GATE" in os.environ and not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    answer = os.environ.get("ANSWER", "").replace("{first}", records[0]["messageId"])
    request_id = invocation.headers["lambda-runtime-aws-request-id"]
    api.request("POST", f"{INVOCATION}/{request_id}/{kind}", answer)
    api.getresponse().read()
