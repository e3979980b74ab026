"""Evaluates the alarms of template.yaml from metrics, as CloudWatch does. A minute can be compressed: world.py
makes it 3 s long, rehearsal.py lets it take no time."""

import re
from collections import defaultdict

# Alarms whose metrics are not produced here, or depend on times that are not compressed: the 60 s of the objective are
# a constant of the worker, and the duration of a call is that on this machine.
NOT_EVALUATED = re.compile("-(latency|duration|concurrency|slow|slo-.*)$")
# The metrics that are times since an event was sent. Their values are compressed, and the thresholds of the template
# are not. So `Metrics` multiplies the values by the speed.
TIMES = {"worker_event_age_seconds", "worker_event_lateness_seconds", "ApproximateAgeOfOldestMessage"}


class Metrics:
    """The values of each metric by the minute in which they arrived."""

    def __init__(self, speed):
        self.speed = speed
        self.values = defaultdict(lambda: defaultdict(list))

    def add(self, minute, namespace, name, dimensions, values):
        """`values` are pairs of a value and its number of occurrences."""
        factor = self.speed if name in TIMES else 1
        key = namespace, name, frozenset(dimensions.items())
        self.values[key][minute] += [(value * factor, count) for value, count in values]

    def statistic(self, alarm, statistic, minutes):
        dimensions = frozenset((d["Name"], d["Value"]) for d in alarm.get("Dimensions", []))
        by_minute = self.values[alarm["Namespace"], alarm["MetricName"], dimensions]
        values = [pair for minute in minutes for pair in by_minute.get(minute, [])]
        if not values:
            return None
        if statistic.startswith("p"):
            ordered = sorted(value for value, count in values for _ in range(count))
            return ordered[min(len(ordered) - 1, len(ordered) * int(statistic[1:]) // 100)]
        return {"Maximum": max(v for v, _ in values), "Sum": sum(v * n for v, n in values)}[statistic]


class Alarms:
    """The states of all alarms. `rung` contains each change: minute, name, and whether it rings; `notified` the pages and
    tickets."""

    def __init__(self, stack, metrics, not_evaluated=NOT_EVALUATED):
        def named(kind):
            alarms = stack.of_type(f"CloudWatch::{kind}").values()
            return {a["AlarmName"]: a for a in alarms if not not_evaluated.search(a["AlarmName"])}

        self.alarms, self.composites = named("Alarm"), named("CompositeAlarm")
        self.metrics = metrics
        self.ringing = {}  # name: the minute since which it rings
        self.rung, self.notified = [], {}

    def evaluate(self, minute):
        """Evaluates all alarms at the end of a minute. Returns the names of those that now begin or cease to ring."""
        before = set(self.ringing)
        for name, alarm in self.alarms.items():
            self._set(name, self._breaches(alarm, minute), minute)
        # A composite alarm can depend on another one, which the template declares before it.
        for name, alarm in self.composites.items():
            self._set(name, self._rule(alarm["AlarmRule"]), minute)
        for name, alarm in (self.alarms | self.composites).items():
            if name in self.ringing and alarm.get("AlarmActions") and not self._suppressed(name, alarm, minute):
                self.notified.setdefault(name, minute)
        return before ^ set(self.ringing)

    def _set(self, name, rings, minute):
        if rings != (name in self.ringing):
            self.rung.append((minute, name, rings))
        if rings:
            self.ringing.setdefault(name, minute)
        else:
            self.ringing.pop(name, None)

    def _suppressed(self, name, alarm, minute):
        """A suppressed alarm waits for its suppressor, which can ring later."""
        if "ActionsSuppressor" not in alarm:
            return False
        suppressor = alarm["ActionsSuppressor"].rsplit(":", 1)[1]
        waits = minute - self.ringing[name] < alarm["ActionsSuppressorWaitPeriod"] / 60
        return suppressor in self.ringing or waits

    def _rule(self, rule):
        text = re.sub(r'ALARM\("(.*?)"\)', lambda match: str(match[1] in self.ringing), " ".join(rule.split()))
        return eval(text.replace("AND", "and").replace("OR", "or").replace("NOT", "not"), {})

    def _breaches(self, alarm, minute):
        stats = [m["MetricStat"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm]
        length = stats[0]["Period"] // 60
        breaching = 0
        for period in range(alarm["EvaluationPeriods"]):
            end = minute - period * length
            value = self._value(alarm, range(end - length + 1, end + 1))
            if value is None:
                breaches = alarm["TreatMissingData"] == "breaching"
            elif alarm["ComparisonOperator"] == "LessThanThreshold":
                breaches = value < alarm["Threshold"]
            else:
                breaches = value > alarm["Threshold"]
            breaching += breaches
        return breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])

    def _value(self, alarm, minutes):
        if "Metrics" not in alarm:
            statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
            return self.metrics.statistic(alarm, statistic, minutes)
        metrics = {metric["Id"]: metric for metric in alarm["Metrics"]}

        class Values(dict):
            def __missing__(_, name):
                if name not in metrics:
                    raise KeyError(name)
                if stat := metrics[name].get("MetricStat"):
                    return self.metrics.statistic(stat["Metric"], stat["Stat"], minutes)
                # IF of CloudWatch divides by 0 without an error, Python does not.
                text = re.sub(r"^IF\((.*?), (.*), (.*)\)$", r"(\2 if \1 else \3)", metrics[name]["Expression"])
                try:
                    return eval(text, {"FILL": lambda value, fill: fill if value is None else value}, self_)
                except TypeError:
                    return None  # A metric without data, and no FILL.

        self_ = Values(MIN=min, MAX=max)
        return self_["result"]
