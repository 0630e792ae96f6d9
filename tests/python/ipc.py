#!/usr/bin/env python3
"""The official AWS IoT client for Python against the stand-in nucleus: what both runtimes do, and what lite does.

    ipc.py SCENARIO [MQTT_PORT]

Each scenario is a function below; it prints nothing and exits 0, or fails with a traceback. The environment is what a
nucleus gives a component. MQTT_PORT is the broker's, where mosquitto_pub and mosquitto_sub play the cloud.
"""
import datetime
import json
import os
import queue
import subprocess
import sys
import time

import awsiot.greengrasscoreipc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

THING = os.environ["AWS_IOT_THING_NAME"]
COMPONENT = "dev.printgate.PrintGateway"
ROOT = f"printers/{THING}"
DEADLINE = 10
PROBE = b"probe"


def connect():
    return GreengrassCoreIPCClientV2()


def connect_other():
    """As the other component."""
    return GreengrassCoreIPCClientV2(client=awsiot.greengrasscoreipc.connect(authtoken=os.environ["OTHER_SVCUID"]))


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


def subscribe_locally(ipc, topic, receive_mode=None):
    events = queue.Queue()
    _, operation = ipc.subscribe_to_topic(topic=topic, receive_mode=receive_mode, on_stream_event=events.put)
    return events, operation


def publish_json(ipc, topic, message):
    ipc.publish_to_topic(topic=topic, publish_message=model.PublishMessage(json_message=model.JsonMessage(message=message)))


def publish_bytes(ipc, topic, message):
    binary = model.BinaryMessage(message=message)
    ipc.publish_to_topic(topic=topic, publish_message=model.PublishMessage(binary_message=binary))


def publish(ipc, topic, payload):
    ipc.publish_to_iot_core(topic_name=topic, qos=model.QOS.AT_LEAST_ONCE, payload=payload)


def confirm(ipc, events, topic):
    """Lite answers before SUBACK: publishes probes until one comes back."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        publish(ipc, topic, PROBE)
        try:
            assert events.get(timeout=0.3).payload == PROBE
            return
        except queue.Empty:
            continue
    raise AssertionError("the subscription never delivered")


def receive(events):
    """The next message that is no probe."""
    while True:
        message = events.get(timeout=DEADLINE)
        if message.payload != PROBE:
            return message


def publish_reaches_the_cloud(port):
    cloud = subprocess.Popen(
        ["mosquitto_sub", "-p", port, "-q", "1", "-t", f"{ROOT}/x/status", "-F", "%t %x", "-C", "1", "-W", "10"],
        stdout=subprocess.PIPE,
        text=True,
    )
    ipc = connect()
    # mosquitto_sub does not say when it is subscribed: publish until it has one message and leaves.
    while cloud.poll() is None:
        publish(ipc, f"{ROOT}/x/status", b"\x00\xff bytes")
        try:
            cloud.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    assert cloud.wait() == 0
    received = cloud.stdout.read()
    assert received == f"{ROOT}/x/status 00ff206279746573\n", received


def cloud_reaches_a_subscription(port):
    ipc = connect()
    events, operation = subscribe(ipc, f"{ROOT}/+/print/submit")
    confirm(ipc, events, f"{ROOT}/x/print/submit")
    cloud = ["mosquitto_pub", "-p", port, "-q", "1", "-t", f"{ROOT}/x/print/submit", "-m", "a ticket"]
    subprocess.run(cloud, check=True, timeout=DEADLINE)
    message = receive(events)
    assert (message.topic_name, message.payload) == (f"{ROOT}/x/print/submit", b"a ticket"), message
    operation.close().result(DEADLINE)
    # The stream is closed, the connection lives on: another one gets the message, this one does not.
    other, _ = subscribe(ipc, f"{ROOT}/#")
    confirm(ipc, other, f"{ROOT}/y")
    subprocess.run(cloud, check=True, timeout=DEADLINE)
    assert receive(other).payload == b"a ticket"
    # Probes may still have come before the end; a second ticket did not.
    while not events.empty():
        assert events.get().payload == PROBE


def overlapping_filters_deliver_to_each(port):
    ipc = connect()
    first, _ = subscribe(ipc, f"{ROOT}/#")
    confirm(ipc, first, f"{ROOT}/x/event")
    second, _ = subscribe(ipc, f"{ROOT}/+/event")
    confirm(ipc, second, f"{ROOT}/x/event")
    for payload in (b"one", b"two"):
        publish(ipc, f"{ROOT}/x/event", payload)
    for events in (first, second):
        assert [receive(events).payload for _ in range(2)] == [b"one", b"two"]
    # The narrow one gets its messages, too, when the wide one was there later and ends earlier.
    wide, operation = subscribe(ipc, "printers/" + THING + "/x/#")
    confirm(ipc, wide, f"{ROOT}/x/event")
    operation.close().result(DEADLINE)
    publish(ipc, f"{ROOT}/x/event", b"three")
    assert receive(second).payload == b"three"


def a_shadow_is_reached_through_mqtt(port):
    ipc = connect()
    shadow = f"$aws/things/{THING}/shadow/name/hp-1"
    events, _ = subscribe(ipc, f"{shadow}/+/+")
    end = time.monotonic() + DEADLINE
    while events.empty():
        assert time.monotonic() < end, "the shadow service never answered"
        publish(ipc, f"{shadow}/get", b"")
        time.sleep(0.1)
    answer = events.get()
    assert answer.topic_name == f"{shadow}/get/rejected", answer
    assert json.loads(answer.payload)["code"] == 404, answer
    update = {"state": {"reported": {"status": "idle"}, "desired": {"poll": 60}}, "clientToken": "t-1"}
    publish(ipc, f"{shadow}/update", json.dumps(update).encode())
    answers = {}
    while len(answers) < 3:
        message = events.get(timeout=DEADLINE)
        kind = message.topic_name.removeprefix(f"{shadow}/")
        if kind != "get/rejected":
            answers[kind] = json.loads(message.payload)
    assert answers["update/accepted"]["version"] == 1, answers
    assert answers["update/accepted"]["clientToken"] == "t-1", answers
    assert answers["update/delta"]["state"] == {"poll": 60}, answers
    assert answers["update/documents"]["current"]["version"] == 1, answers


def configuration_is_read_as_text(port):
    ipc = connect()
    answer = ipc.get_configuration(key_path=[])
    assert answer.component_name == COMPONENT, answer
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
    nobody = lambda e: None
    for function, arguments in [
        (ipc.get_thing_shadow, {"thing_name": THING, "shadow_name": ""}),
        (ipc.update_thing_shadow, {"thing_name": THING, "shadow_name": "", "payload": b"{}"}),
        (ipc.delete_thing_shadow, {"thing_name": THING, "shadow_name": ""}),
        (ipc.list_named_shadows_for_thing, {"thing_name": THING}),
        (ipc.get_secret_value, {"secret_id": "printers/hp"}),
        (ipc.subscribe_to_component_updates, {"on_stream_event": nobody}),
        (ipc.defer_component_update, {"deployment_id": "d", "recheck_after_ms": 0}),
        (ipc.subscribe_to_validate_configuration_updates, {"on_stream_event": nobody}),
        (ipc.pause_component, {"component_name": COMPONENT}),
        (ipc.resume_component, {"component_name": COMPONENT}),
        (ipc.put_component_metric, {"metrics": []}),
        (ipc.subscribe_to_iot_core_connection_status, {"on_stream_event": nobody}),
    ]:
        raises(model.ServiceError, function, **arguments)
    publish(ipc, f"{ROOT}/x/status", b"the connection is as good as before")


def local_messages_reach_components(port):
    """On both runtimes: a topic, the same component, JSON and bytes."""
    ipc, other = connect(), connect_other()
    mine, operation = subscribe_locally(ipc, "local/printers/hp")
    theirs, _ = subscribe_locally(other, "local/printers/hp")
    publish_json(ipc, "local/printers/hp", {"status": "idle", "pages": 3, "more": {"list": [1, "x", None]}})
    publish_bytes(other, "local/printers/hp", b"\x00\xff")
    for events in (mine, theirs):
        event = events.get(timeout=DEADLINE)
        assert event.binary_message is None and event.json_message.context.topic == "local/printers/hp", event
        assert event.json_message.message == {"status": "idle", "pages": 3, "more": {"list": [1, "x", None]}}, event
        event = events.get(timeout=DEADLINE)
        assert event.json_message is None and event.binary_message.message == b"\x00\xff", event
    operation.close().result(DEADLINE)
    publish_bytes(ipc, "local/printers/hp", b"again")
    assert theirs.get(timeout=DEADLINE).binary_message.message == b"again"
    assert mine.empty()
    # Nobody subscribed: taken all the same.
    publish_bytes(ipc, "local/printers/nobody", b"x")


def local_topics_outside_of_the_policy_are_refused(port):
    ipc = connect()
    raises(model.UnauthorizedError, ipc.subscribe_to_topic, topic="elsewhere", on_stream_event=lambda e: None)
    message = model.PublishMessage(json_message=model.JsonMessage(message={}))
    raises(model.UnauthorizedError, ipc.publish_to_topic, topic="elsewhere", publish_message=message)


def lite_sends_wildcard_subscribers_everything(port):
    ipc = connect()
    for receive_mode in (None, model.ReceiveMode.RECEIVE_MESSAGES_FROM_OTHERS):
        events, _ = subscribe_locally(ipc, "local/+/hp", receive_mode)
        publish_bytes(ipc, "local/a/hp", b"own")
        assert events.get(timeout=DEADLINE).binary_message.message == b"own"


def another_component_is_read_and_not_written(port):
    ipc, other = connect(), connect_other()
    events = queue.Queue()
    ipc.subscribe_to_configuration_update(
        component_name="dev.printgate.Other", key_path=["x"], on_stream_event=lambda e: events.put(e.configuration_update_event)
    )
    answer = ipc.get_configuration(component_name="dev.printgate.Other", key_path=["x"])
    assert (answer.component_name, answer.value) == ("dev.printgate.Other", {"x": "y"}), answer
    now = datetime.datetime.now(datetime.timezone.utc)
    other.update_configuration(key_path=[], timestamp=now, value_to_merge={"x": "z"})
    event = events.get(timeout=DEADLINE)
    assert (event.component_name, event.key_path) == ("dev.printgate.Other", ["x"]), event
    raises(model.ResourceNotFoundError, ipc.get_configuration, component_name="dev.printgate.Nobody", key_path=[])


def an_oversize_publish_closes_the_connection(port):
    ipc = connect()
    events, _ = subscribe(ipc, f"{ROOT}/big")
    confirm(ipc, events, f"{ROOT}/big")
    # Over lite's inbound limit: published, and dropped on the way back.
    publish(ipc, f"{ROOT}/big", b"x" * 4981)
    publish(ipc, f"{ROOT}/big", b"y" * 4980)
    assert receive(events).payload == b"y" * 4980
    # lite's buffer holds 10,000 bytes of base64, JSON and headers: the exact limit depends on the client.
    publish(ipc, f"{ROOT}/big", b"x" * 7200)
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
