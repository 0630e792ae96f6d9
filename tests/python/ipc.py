#!/usr/bin/env python3
"""The official AWS IoT client for Python against the stand-in nucleus.

    ipc.py SCENARIO [MQTT_PORT]

Each scenario is a function below; it prints nothing and exits 0, or fails with a traceback. The environment is what a
nucleus gives a component. MQTT_PORT is the broker's, where mosquitto_pub and mosquitto_sub play the cloud.
"""
import datetime
import os
import queue
import subprocess
import sys

from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

THING = os.environ["AWS_IOT_THING_NAME"]
ROOT = f"printers/{THING}"
DEADLINE = 10


def connect():
    return GreengrassCoreIPCClientV2()


def raises(kind, function, **arguments):
    """The error of that kind that the call ends with."""
    try:
        function(**arguments)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised by {function.__name__}")


def subscribe(ipc, topic):
    events = queue.Queue()
    _, operation = ipc.subscribe_to_iot_core(
        topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, on_stream_event=lambda e: events.put(e.message)
    )
    return events, operation


def publish(ipc, topic, payload):
    ipc.publish_to_iot_core(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload)


def confirm(ipc, events, topic):
    """Lite answers before SUBACK: publishes until the subscription is seen to work, then empties it."""
    end = datetime.datetime.now() + datetime.timedelta(seconds=DEADLINE)
    while datetime.datetime.now() < end:
        publish(ipc, topic, b"probe")
        try:
            events.get(timeout=0.3)
            break
        except queue.Empty:
            continue
    else:
        raise AssertionError("the subscription never delivered")
    try:
        while True:
            events.get(timeout=0.3)
    except queue.Empty:
        pass


def publish_reaches_the_cloud(port):
    sub = subprocess.Popen(
        ["mosquitto_sub", "-p", port, "-q", "1", "-t", f"{ROOT}/x/status", "-F", "%t %x", "-C", "1", "-W", "10", "-d"],
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in sub.stdout:
        if "SUBACK" in line:
            break
    publish(connect(), f"{ROOT}/x/status", b"\x00\xff bytes")
    rest = sub.stdout.read()
    assert sub.wait(timeout=DEADLINE) == 0, rest
    assert f"{ROOT}/x/status 00ff206279746573" in rest, rest


def cloud_reaches_a_subscription(port):
    ipc = connect()
    events, operation = subscribe(ipc, f"{ROOT}/+/print/submit")
    confirm(ipc, events, f"{ROOT}/x/print/submit")
    cloud = ["mosquitto_pub", "-p", port, "-q", "1", "-t", f"{ROOT}/x/print/submit", "-m", "a ticket"]
    subprocess.run(cloud, check=True, timeout=DEADLINE)
    message = events.get(timeout=DEADLINE)
    assert (message.topic_name, message.payload) == (f"{ROOT}/x/print/submit", b"a ticket"), message
    operation.close().result(DEADLINE)
    # The stream is closed, the connection lives on: another one gets the message, this one does not.
    other, _ = subscribe(ipc, f"{ROOT}/#")
    confirm(ipc, other, f"{ROOT}/y")
    subprocess.run(cloud, check=True, timeout=DEADLINE)
    assert other.get(timeout=DEADLINE).payload == b"a ticket"
    assert events.empty()


def overlapping_filters_deliver_to_each(port):
    ipc = connect()
    first, _ = subscribe(ipc, f"{ROOT}/#")
    second, _ = subscribe(ipc, f"{ROOT}/+/event")
    confirm(ipc, first, f"{ROOT}/x/event")
    confirm(ipc, second, f"{ROOT}/x/event")
    publish(ipc, f"{ROOT}/x/event", b"once")
    assert first.get(timeout=DEADLINE).payload == b"once"
    assert second.get(timeout=DEADLINE).payload == b"once"


def configuration_is_read_as_text(port):
    ipc = connect()
    answer = ipc.get_configuration(key_path=[])
    assert answer.component_name == "io.github.printgate", answer
    assert answer.value["poll"] == {"seconds": "30", "enabled": "true"}, answer.value
    assert "accessControl" in answer.value
    assert ipc.get_configuration(key_path=["poll", "seconds"]).value == {"seconds": "30"}
    assert ipc.get_configuration(key_path=["poll"]).value == {"seconds": "30", "enabled": "true"}
    raises(model.ResourceNotFoundError, ipc.get_configuration, key_path=["no", "such"])


def configuration_updates_are_told(port):
    ipc = connect()
    events = queue.Queue()
    ipc.subscribe_to_configuration_update(
        key_path=["poll"], on_stream_event=lambda e: events.put(e.configuration_update_event)
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    ipc.update_configuration(key_path=["poll"], timestamp=now, value_to_merge={"seconds": 45})
    event = events.get(timeout=DEADLINE)
    assert event.key_path == ["poll", "seconds"], event
    assert ipc.get_configuration(key_path=["poll", "seconds"]).value == {"seconds": 45}
    # Outside of what was subscribed to; the event after it shows that none came.
    ipc.update_configuration(key_path=[], timestamp=now, value_to_merge={"other": "x"})
    # Older: answered OK, ignored.
    old = now - datetime.timedelta(days=1)
    ipc.update_configuration(key_path=["poll"], timestamp=old, value_to_merge={"seconds": 1})
    assert ipc.get_configuration(key_path=["poll", "seconds"]).value == {"seconds": 45}
    later = now + datetime.timedelta(seconds=1)
    ipc.update_configuration(key_path=["poll"], timestamp=later, value_to_merge={"enabled": "false"})
    assert events.get(timeout=DEADLINE).key_path == ["poll", "enabled"]
    raises(
        model.InvalidArgumentsError,
        ipc.update_configuration,
        key_path=["accessControl"],
        timestamp=later,
        value_to_merge={"x": {}},
    )
    raises(
        model.ServiceError,
        ipc.update_configuration,
        key_path=[],
        timestamp=later,
        value_to_merge={"large": "x" * 1100},
    )


def state_is_reported(port):
    ipc = connect()
    ipc.update_state(state=model.ReportedLifecycleState.RUNNING)
    raises(model.InvalidArgumentsError, ipc.update_state, state="BROKEN")


def topics_outside_of_the_policy_are_refused(port):
    ipc = connect()
    topic = "printers/someone-else/x/status"
    raises(
        model.UnauthorizedError,
        ipc.publish_to_iot_core,
        topic_name=topic,
        qos=model.QOS.AT_LEAST_ONCE,
        payload=b"x",
    )
    for wide in (topic, "printers/#", "#"):
        raises(
            model.UnauthorizedError,
            ipc.subscribe_to_iot_core,
            topic_name=wide,
            qos=model.QOS.AT_LEAST_ONCE,
            on_stream_event=lambda e: None,
        )
    publish(ipc, f"{ROOT}/x/status", b"the connection is as good as before")


def operations_of_the_classic_nucleus_are_refused(port):
    ipc = connect()
    raises(model.ServiceError, ipc.get_thing_shadow, thing_name=THING, shadow_name="")
    raises(model.ServiceError, ipc.get_secret_value, secret_id="x")
    publish(ipc, f"{ROOT}/x/status", b"the connection is as good as before")


def an_oversize_publish_closes_the_connection(port):
    ipc = connect()
    events, _ = subscribe(ipc, f"{ROOT}/big")
    confirm(ipc, events, f"{ROOT}/big")
    # Over lite's inbound limit: published, and dropped on the way back.
    publish(ipc, f"{ROOT}/big", b"x" * 4981)
    publish(ipc, f"{ROOT}/big", b"y" * 4980)
    assert events.get(timeout=DEADLINE).payload == b"y" * 4980
    publish(ipc, f"{ROOT}/big", b"x" * 7311)
    try:
        publish(ipc, f"{ROOT}/big", b"x" * 7312)
    except Exception as error:
        assert not isinstance(error, (model.ServiceError, model.UnauthorizedError)), repr(error)
    else:
        raise AssertionError("7312 bytes were taken")
    publish(connect(), f"{ROOT}/big", b"a new connection works")


def a_wrong_token_is_refused(port):
    try:
        connect()
    except Exception:
        return
    raise AssertionError("a wrong token was taken")


def offline_publishes_fail_at_once(port):
    ipc = connect()
    raises(
        model.ServiceError,
        ipc.publish_to_iot_core,
        topic_name=f"{ROOT}/x/status",
        qos=model.QOS.AT_LEAST_ONCE,
        payload=b"x",
    )


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else "")
    # Some versions of the client's native part wait for ever for threads at the end of the process.
    sys.stdout.flush()
    os._exit(0)
