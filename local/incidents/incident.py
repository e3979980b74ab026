"""make incident NAME=…: stages an incident on the local stack, waits for its alarm, lets a person or the script end it, and
checks that it is over."""

import argparse
import sys
import threading
import time
from collections import Counter

from runbook import Shell
from scenarios import INCIDENTS, Poison
from world import MINUTE, STACK, World

WARM_UP = 2  # minutes
ALARM_LIMIT = 30  # minutes


def run(incident, script=True, say=print):
    """Returns what is wrong in the end. An empty list: the incident is over."""
    world = World(incident.fifo, say=say)
    shell = Shell(world)
    try:
        world.pay(10)
        world.wait(lambda: world.minute >= WARM_UP, 2 * WARM_UP)
        incident.prepare(world)
        world.incident = incident
        say(f"The incident begins. A minute takes {MINUTE:.0f} s.")
        if not world.wait(lambda: f"{STACK}-{incident.alarm}" in world.alarms.notified, ALARM_LIMIT):
            return [f"{incident.alarm} did not ring: {world.alarms.rung}"]
        say(f"\n{STACK}-{incident.alarm} notifies after {world.since()} minutes.\n")
        if script:
            for step in incident.script:
                shell.step(step)
        else:
            person(world, shell, incident)
        return end(world, incident)
    finally:
        world.stop()


def person(world, shell, incident):
    say = world.say
    say("The runbook is docs/operations.md. `tell WHOM` calls the producer, the inventory, or the payments team.")
    say("End the shell when you have done everything.\n")
    thread = threading.Thread(target=shell.interactive)
    thread.start()
    while thread.is_alive():
        time.sleep(0.3)
        for whom in shell.calls():
            try:
                incident.tell(world, whom)
            except KeyError as error:
                say(error.args[0])


def end(world, incident):
    if not world.wait(lambda: incident.ended, incident.lasts):
        return ["the cause still exists"]
    if not still_rings(world, incident):
        world.incident = None  # No more events are sent, so that the last ones end before the checks below.
        world.minutes.join()
    # Records that wait for their back-off can make an alarm ring once more.
    problems = [] if world.wait(lambda: world.depth("EventQueue") == 0, 20) else ["messages are still in the queue"]
    problems += (ringing := still_rings(world, incident))
    for name, minute in world.alarms.notified.items():
        world.say(f"{name} has notified at the end of minute {minute + 1 - world.began}.")
    if not ringing:
        world.say(f"All alarms are over after {world.since()} minutes.")
    # The lines of the event source mapping are not the worker's.
    warnings = Counter(line["message"] for line in world.log() if line.get("level") == "WARN"
                       and "outcome" not in line and line.get("target") != "event_source")
    for message, count in warnings.items():
        world.say(f"The worker has warned {count} times: {message}")
    if dead := world.depth("DeadLetterQueue"):
        problems.append(f"{dead} dead letters")
    return problems + world.inconsistent()


def still_rings(world, incident):
    world.wait(lambda: not world.alarms.ringing, incident.lasts)
    return [f"{name} still rings" for name in world.alarms.ringing]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=INCIDENTS)
    parser.add_argument("--script", action="store_true", help="run the commands of the runbook")
    parser.add_argument("--count", type=int, default=200, help="the number of poison messages")
    arguments = parser.parse_args()
    incident = INCIDENTS[arguments.name]() if arguments.name != "poison" else Poison(arguments.count)
    problems = run(incident, arguments.script)
    for problem in problems:
        print(f"NOT OVER: {problem}")
    print("The incident is over: no dead letter, and every reservation agrees with its seats." if not problems else "")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
