#!/usr/bin/env python3
"""A component made of the official AWS IoT client for Python, told by lines on standard input what to do.

One JSON object a line in, one a line out: {"do": "connect"}, {"do": "publish", "topic": …, "payload": …, "qos": 0|1,
"repeat": N}, {"do": "subscribe", "topic": …}. Answers are {"ok": true} or {"error": KIND, "message": …}; what comes to
a subscription is {"event": {"topic": …, "payload": …}}, in between. The environment is what a nucleus gives.
"""
import json
import os
import sys
import threading

from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

lock = threading.Lock()
ipc = None


def say(line):
    with lock:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def arrived(event):
    message = event.message
    say({"event": {"topic": message.topic_name, "payload": message.payload.decode(errors="replace")}})


def do(request):
    global ipc
    if request["do"] == "connect":
        os.environ.update(request.get("env", {}))
        # Without its thread pool, which would give events in any order.
        ipc = GreengrassCoreIPCClientV2(executor=None)
    elif request["do"] == "publish":
        qos = model.QOS.AT_LEAST_ONCE if request.get("qos", 1) else model.QOS.AT_MOST_ONCE
        for _ in range(request.get("repeat", 1)):
            ipc.publish_to_iot_core(topic_name=request["topic"], qos=qos, payload=request["payload"].encode())
    elif request["do"] == "subscribe":
        ipc.subscribe_to_iot_core(
            topic_name=request["topic"], qos=model.QOS.AT_LEAST_ONCE, on_stream_event=arrived
        )
    else:
        raise ValueError(request["do"])


for line in sys.stdin:
    try:
        do(json.loads(line))
        say({"ok": True})
    except BaseException as error:  # The client's native part raises kinds that are no Exception.
        say({"error": type(error).__name__, "message": str(getattr(error, "message", None) or error)})
# Some versions of the client's native part wait for ever for threads at the end of the process.
sys.stdout.flush()
os._exit(0)
