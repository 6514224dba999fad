"""Checks the summary that `cargo demo --json` prints."""

import json
import sys

summary = json.load(open(sys.argv[1], encoding="utf-8"))
print(json.dumps(summary, indent=1))
verdicts = sum(summary[v] for v in ("accepted", "duplicate", "rejected", "skipped"))
propagation = summary["propagation_ms"]
rows = summary["rows"]

checks = {
    "every record published has one verdict": verdicts == summary["published"],
    "the ledger adds up": summary["ledger_difference"] == 0,
    "about 2,000 records a second": summary["published"] > 25_000,
    "each verdict happens": all(
        summary[v] > 0 for v in ("accepted", "duplicate", "rejected", "skipped")
    ),
    "an event is one row": rows["events"] >= summary["accepted"] > 0,
    "every accepted event was seen by the poller": propagation["events"] == summary["accepted"],
    "propagation p99 is under 5 s": 0 < propagation["p99"] < 5_000,
    "people are merged": summary["merges"] > 0,
    "rates, segments and their changes are there": all(
        rows[view] > 0 for view in ("identities", "customers", "metric_values", "segment_changes")
    ),
}
for name, holds in checks.items():
    print("ok  " if holds else "FAIL", name)
sys.exit(0 if all(checks.values()) else 1)
