"""Runs moto's SQS on a free loopback port and prints the port number. Ends when stdin is closed. The argument, if there is
one, is the longest time in seconds that a long poll waits.

Moto 5.2 differs from SQS in two points, which are corrected here:

- Moto handles each request in a thread of its own, without locks. A message that is sent during a delete is
  lost, and two concurrent receives can both return the same message. Here, only one operation runs at a time.
- When several messages of a FIFO group become visible again, moto treats the first one as blocked by the
  second one and returns them in the wrong order. Here, visible messages no longer count as pending.

In addition, a long poll returns a new message immediately. In moto it returns at the next full second. And receives are
faster. To check the age of a received message, moto computes all attributes of the queue, and for that it counts all
messages of the queue several times, so that a receive from a queue of 10,000 messages takes seconds. Here, the check
reads only the retention period.

Requested visibility time-outs and deletions are logged to stderr, as one JSON object per line. A deletion is logged
before it is done, so that a message of the dead-letter queue is never missing without a line about it.
"""

import functools
import json
import os
import sys
import threading
import time

from moto.core.utils import unix_time_millis
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import SQSBackend
from werkzeug.serving import make_server

LONG_POLL_INTERVAL = 0.03  # seconds
LONGEST_POLL = 20  # seconds; the first argument replaces it
LOCK = threading.RLock()


def with_lock(operation):
    @functools.wraps(operation)
    def locked(*args, **kwargs):
        with LOCK:
            return operation(*args, **kwargs)

    return locked


def replace(replacement, operation):
    """Calls the replacement with the original operation as its first argument."""

    @functools.wraps(operation)
    def call(*args, **kwargs):
        return replacement(operation, *args, **kwargs)

    return call


def receive_message(receive, self, queue_name, count, wait_seconds_timeout, *args, **kwargs):
    end = time.monotonic() + min(wait_seconds_timeout or 0, LONGEST_POLL)
    while True:
        with LOCK:
            queue = self.get_queue(queue_name)
            queue._pending_messages = {message for message in queue.pending_messages if not message.visible}
            messages = receive(self, queue_name, count, 0, *args, **kwargs)
        if messages or time.monotonic() >= end:
            return messages
        time.sleep(LONG_POLL_INTERVAL)


def is_message_valid_based_on_retention_period(check, self, queue_name, message):
    age = unix_time_millis() - message.sent_timestamp
    return age < self.get_queue(queue_name).message_retention_period * 1000


def log(**fields):
    sys.stderr.write(json.dumps(fields) + "\n")


def change_message_visibility(change, self, queue_name, receipt_handle, visibility_timeout):
    with LOCK:
        change(self, queue_name, receipt_handle, visibility_timeout)
        messages = self.get_queue(queue_name)._messages
        message = next(message for message in messages if message.had_receipt_handle(receipt_handle))
        is_dead = self.list_dead_letter_source_queues(queue_name)
        log(message_id=message.id, seconds=int(visibility_timeout),
            visible_at=None if is_dead else int(message.visible_at))


def change_message_visibility_batch(change, self, queue_name, entries):
    log(changes=len(entries))
    with LOCK:
        return change(self, queue_name, entries)


def log_dead_letters(self, queue_name, is_deleted):
    """Logs the messages that will be deleted, if this is a dead-letter queue."""
    if self.list_dead_letter_source_queues(queue_name):
        for message in filter(is_deleted, self.get_queue(queue_name)._messages):
            log(deleted_dead_letter=message.id)


def delete_message(delete, self, queue_name, receipt_handle):
    with LOCK:
        log_dead_letters(self, queue_name, lambda message: message.had_receipt_handle(receipt_handle))
        delete(self, queue_name, receipt_handle)


def purge_queue(purge, self, queue_name):
    with LOCK:
        log_dead_letters(self, queue_name, lambda message: True)
        purge(self, queue_name)


def delete_message_batch(delete, self, queue_name, receipts):
    log(deletes=len(receipts))
    with LOCK:
        return delete(self, queue_name, receipts)


for name in ["send_message", "send_message_batch", "get_queue_attributes"]:
    setattr(SQSBackend, name, with_lock(getattr(SQSBackend, name)))
for replacement in [
    receive_message, delete_message, delete_message_batch, purge_queue, change_message_visibility,
    change_message_visibility_batch, is_message_valid_based_on_retention_period,
]:
    name = replacement.__name__
    setattr(SQSBackend, name, replace(replacement, getattr(SQSBackend, name)))


def exit_when_stdin_closes():
    sys.stdin.buffer.read()
    os._exit(0)


# The module is imported by local/incidents, which starts a server of its own.
if __name__ == "__main__":
    if len(sys.argv) > 1:
        LONGEST_POLL = float(sys.argv[1])
    threading.Thread(target=exit_when_stdin_closes, daemon=True).start()
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
                         request_handler=MotoRequestHandler)
    os.environ["MOTO_PORT"] = str(server.port)
    print(server.port, flush=True)
    server.serve_forever()
