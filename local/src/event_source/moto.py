"""moto's SQS on a free loopback port, which is printed; it ends with whoever holds its stdin.

Two things are set right that SQS guarantees and moto (5.2) does not:

- Requests are threads there and nothing is locked, so a message that is sent during a delete is lost, and one
  that is received twice at once is given to both. Here one operation runs at a time.
- When several messages of a FIFO group come back together, moto takes the first for blocked by the second and
  gives them out in the wrong order. Messages that are visible again are therefore no longer pending here.

And a long poll sees a message at once, not at the next full second.

Visibility time-outs and deletions that were asked for are noted on stderr, a JSON object each.
"""

import functools
import json
import os
import sys
import threading
import time

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import SQSBackend
from werkzeug.serving import make_server

LOOK_AGAIN = 0.03
LOCK = threading.RLock()


def one_at_a_time(operation):
    @functools.wraps(operation)
    def locked(*args, **kwargs):
        with LOCK:
            return operation(*args, **kwargs)

    return locked


def around(own, operation):
    @functools.wraps(operation)
    def call(*args, **kwargs):
        return own(operation, *args, **kwargs)

    return call


def receive_message(receive, self, queue_name, count, wait_seconds_timeout, *args, **kwargs):
    end = time.monotonic() + (wait_seconds_timeout or 0)
    while True:
        with LOCK:
            queue = self.get_queue(queue_name)
            queue._pending_messages = {message for message in queue.pending_messages if not message.visible}
            messages = receive(self, queue_name, count, 0, *args, **kwargs)
        if messages or time.monotonic() >= end:
            return messages
        time.sleep(LOOK_AGAIN)


def note(**what):
    sys.stderr.write(json.dumps(what) + "\n")


def change_message_visibility(change, self, queue_name, receipt_handle, visibility_timeout):
    with LOCK:
        change(self, queue_name, receipt_handle, visibility_timeout)
        messages = self.get_queue(queue_name)._messages
        message = next(message for message in messages if message.had_receipt_handle(receipt_handle))
        note(message_id=message.id, seconds=int(visibility_timeout))


def change_message_visibility_batch(change, self, queue_name, entries):
    note(changes=len(entries))
    with LOCK:
        return change(self, queue_name, entries)


def delete_message_batch(delete, self, queue_name, receipts):
    note(deletes=len(receipts))
    with LOCK:
        return delete(self, queue_name, receipts)


for name in ["send_message", "send_message_batch", "delete_message", "purge_queue", "get_queue_attributes"]:
    setattr(SQSBackend, name, one_at_a_time(getattr(SQSBackend, name)))
for own in [receive_message, delete_message_batch, change_message_visibility, change_message_visibility_batch]:
    setattr(SQSBackend, own.__name__, around(own, getattr(SQSBackend, own.__name__)))


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
                     request_handler=MotoRequestHandler)
os.environ["MOTO_PORT"] = str(server.port)
print(server.port, flush=True)
server.serve_forever()
