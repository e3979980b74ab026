"""moto's SQS on a free loopback port, which is printed; it ends with whoever holds its stdin.

Two things are set right that SQS guarantees and moto (5.2) does not:

- Requests are threads there and nothing is locked, so a message that is sent during a delete is lost, and one
  that is received twice at once is given to both. Here one operation runs at a time.
- When several messages of a FIFO group come back together, moto takes the first for blocked by the second and
  gives them out in the wrong order. Messages that are visible again are therefore no longer pending here.

And a long poll sees a message at once, not at the next full second.
"""

import functools
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


for name in ["send_message", "send_message_batch", "delete_message", "delete_message_batch", "purge_queue",
             "change_message_visibility", "change_message_visibility_batch", "get_queue_attributes"]:
    setattr(SQSBackend, name, one_at_a_time(getattr(SQSBackend, name)))
SQSBackend.receive_message = functools.partialmethod(
    lambda self, receive, *args, **kwargs: receive_message(receive, self, *args, **kwargs),
    SQSBackend.receive_message,
)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
                     request_handler=MotoRequestHandler)
os.environ["MOTO_PORT"] = str(server.port)
print(server.port, flush=True)
server.serve_forever()
