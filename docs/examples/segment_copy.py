"""Keeps an exact copy of a segment, through restarts of itself and of the server, and proves it.

    python segment_copy.py http://127.0.0.1:8080 acc-17 warm-jakarta copy.json

The same as query/examples/segment_copy.rs; the standard library is enough.
"""

import hashlib
import json
import os
import sys
import time
import urllib.parse
import urllib.request


def hash_of(customer):
    """The first eight bytes of SHA-256, as ClickHouse's reinterpretAsUInt64 reads them."""
    return int.from_bytes(hashlib.sha256(customer.encode()).digest()[:8], "little")


def load(file):
    try:
        with open(file, encoding="utf-8") as state:
            copy = json.load(state)
            return copy | {"members": set(copy["members"])}
    except FileNotFoundError:
        return {"last_event_id": "", "members": set(), "hash": 0}


def save(copy, file):
    """Either the old file is there or the new one."""
    with open(file + ".new", "w", encoding="utf-8") as state:
        json.dump(copy | {"members": sorted(copy["members"])}, state)
    os.replace(file + ".new", file)


def take(copy, row):
    customer, is_in = row["customer_id"], row["customer_id"] in copy["members"]
    wants_in = row.get("change") != "exited"
    if is_in != wants_in:
        copy["members"].symmetric_difference_update({customer})
        copy["hash"] ^= hash_of(customer)


def events(answer):
    """(event, id, data) of each event that a server sends."""
    event, event_id, data = "", "", ""
    for line in answer:
        line = line.decode().rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if event:
                yield event, event_id, data
            event, data = "", ""
        elif field == "event":
            event = value
        elif field == "id":
            event_id = value
        elif field == "data":
            data += value


def follow(server, account, segment, file):
    copy = load(file)
    query = urllib.parse.urlencode({"account_id": account, "segment_id": segment, "view": "segments"})
    headers = {"Last-Event-ID": copy["last_event_id"]} if copy["last_event_id"] else {}
    request = urllib.request.Request(f"{server}/v1/changes?{query}", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        for event, event_id, data in events(answer):
            if event in ("snapshot", "change"):
                take(copy, json.loads(data))
            elif event in ("progress", "snapshot-end"):
                copy["last_event_id"] = event_id
                save(copy, file)
                print(data, "members", len(copy["members"]), f"hash {copy['hash']:016x}", flush=True)
            elif event == "gap":
                os.remove(file)
                return


if __name__ == "__main__":
    while True:
        try:
            follow(*sys.argv[1:5])
        except OSError as error:
            print(error, "again in a second", file=sys.stderr)
        time.sleep(1)
